"""The check of the task packages: that each can be loaded, with the modules of its tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ibutsu_tasks.celery_app import task_problems
from ibutsu_tasks.doctor.report import Finding, finding
from ibutsu_tasks.packages import loaded

if TYPE_CHECKING:
    from ibutsu_tasks.settings import Settings


def check_packages(_: Settings) -> list[Finding]:
    """Import what workers import."""
    packages = loaded()
    problems = (*packages.problems.values(), *task_problems())
    hint = "Repair or uninstall it: workers and beat refuse to start, or go on without."
    if problems:
        return [finding("IBT-K01", problem, hint) for problem in problems]
    return [finding("IBT-K00", f"Loaded: {', '.join(packages.sources) or 'none'}.")]
