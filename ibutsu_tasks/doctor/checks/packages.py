"""The check of the task packages: that each can be loaded, and that what one names is there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ibutsu_tasks.celery_app import task_problems, tasks_of
from ibutsu_tasks.doctor.report import Finding, finding
from ibutsu_tasks.packages import loaded
from ibutsu_tasks.retention.tables import problem_of
from ibutsu_tasks.wire_names import DEFAULT_QUEUE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ibutsu_tasks.packages import TaskPackage
    from ibutsu_tasks.settings import Settings


def check_packages(settings: Settings) -> list[Finding]:
    """Import what workers import."""
    packages = loaded()
    problems = (*packages.problems.values(), *task_problems())
    hint = "Repair or uninstall it: workers and beat refuse to start, or go on without."
    if problems:
        return [finding("IBT-K01", problem, hint) for problem in problems]
    astray = [*_unknown_packages(settings), *_unknown_tasks(), *_unknown_queues(settings), *_idle_rules()]
    return astray or [finding("IBT-K00", f"Loaded: {', '.join(packages.sources) or 'none'}.")]


def _unknown_packages(settings: Settings) -> Iterator[Finding]:
    for name in settings.without_packages:
        if name not in loaded().left_out:
            seen = f"IBUTSU_TASKS_WITHOUT_PACKAGES leaves out {name}, and there is no such task package."
            yield finding(
                "IBT-K04", seen, "`ibutsu-tasks packages` shows the names of those that are loaded."
            )


def _unknown_tasks() -> Iterator[Finding]:
    # One without modules of tasks speaks of those of a worker that is not ours.
    packages = [one for one in loaded().packages if one.tasks]
    known = {name for one in packages for name in tasks_of(one)}
    for package in packages:
        for who, task in _named_tasks(package):
            if task not in known:
                seen = f"{who} of the package {package.name} sends {task}, which no task package has."
                yield finding("IBT-K02", seen, "Correct its name, or name its module in the package.")


def _named_tasks(package: TaskPackage) -> Iterator[tuple[str, str]]:
    yield from ((f"The schedule entry {row.name}", row.task) for row in package.schedule)
    yield from ((f"The importer {one.name}", one.task) for one in package.importers)
    yield from ((f"The retention rule {rule.name}", rule.task) for rule in package.retention)
    if package.canary:
        yield "The canary", package.canary.task


def _unknown_queues(settings: Settings) -> Iterator[Finding]:
    known = {*loaded().queues, *settings.worker_queues, DEFAULT_QUEUE}
    for route in (*settings.routes, *loaded().routes):
        if route.queue not in known:
            seen = f"The route {route} leads to a queue that no task package declares."
            hint = f"Correct it, or start `ibutsu-tasks worker --queues {route.queue}`."
            yield finding("IBT-K03", seen, hint)


def _idle_rules() -> Iterator[Finding]:
    for rule in loaded().retention.values():
        if problem := problem_of(rule):
            yield finding("IBT-K05", problem, "Correct it in its package; until then it deletes nothing.")
