"""Start worker or beat in this process, as pid 1 would: Celery's own commands, with our settings.

The same applications serve `celery -A ibutsu_tasks:worker_app worker`.
"""

from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING, Any

from celery.bin.base import CLIContext
from celery.bin.beat import beat
from celery.bin.worker import worker
from celery.exceptions import SecurityWarning

from ibutsu_tasks.celery_app import create_app_variant
from ibutsu_tasks.errors import SettingsError, UsageError
from ibutsu_tasks.health.pulse import Pulse
from ibutsu_tasks.settings import setting_rows
from ibutsu_tasks.settings.sources import OPTION

if TYPE_CHECKING:
    from celery import Celery

    from ibutsu_tasks.settings import Settings


def run_worker(settings: Settings, celery_args: list[str]) -> int:
    """Run a worker until a signal ends it; give its exit code.

    Raises SettingsError when broker or database are not named.
    """
    _refuse_inconsistent(settings)
    app = create_app_variant("worker", settings)
    Pulse.of_process("worker", settings)
    options = [
        "--queues",
        ",".join(settings.consumed_queues),
        "--concurrency",
        str(settings.worker_concurrency),
    ]
    if settings.worker_hostname:
        options += ["--hostname", settings.worker_hostname]
    return _run(worker, app, settings, ["--loglevel", settings.log_level, *options, *celery_args])


def run_beat(settings: Settings, celery_args: list[str]) -> int:
    """Run the scheduler until a signal ends it; give its exit code.

    Raises SettingsError when no broker is named.
    """
    app = create_app_variant("scheduler", settings)
    Pulse.of_process("beat", settings)
    # No pid file: in a container the last one's, left behind by a kill, would stop the next start.
    words = ["--loglevel", settings.log_level, "--pidfile", "", *celery_args]
    return _run(beat, app, settings, words)


def _refuse_inconsistent(settings: Settings) -> None:
    soft, hard = settings.task_soft_time_limit_seconds, settings.task_time_limit_seconds
    if soft is None or hard is None or soft < hard:
        return
    names = ("task_soft_time_limit_seconds", "task_time_limit_seconds")
    is_wrong_usage = any(settings.source(name).startswith(f"{OPTION} ") for name in names)
    kind = UsageError if is_wrong_usage else SettingsError
    raise kind(
        f"The soft time limit ({soft:g} s) is not below the hard one ({hard:g} s):"
        " a task would be killed before it is asked to end.",
        f"Set --soft-time-limit, or {setting_rows()[names[0]].variables[0]}, below {hard:g}.",
    )


def _run(command: Any, app: Celery, settings: Settings, words: list[str]) -> int:
    # Without the group `celery` above it, which loads every plugin: Flower alone takes a third of a second.
    quiet = settings.log_format == "json"
    context = CLIContext(app, no_color=bool(os.environ.get("NO_COLOR")), workdir=None, quiet=quiet)
    return run_command(command, words, prog_name=f"celery {command.name}", obj=context)


def run_command(command: Any, words: list[str], **options: Any) -> int:
    """Hand over to a command of Celery's, which parses, reports wrong options and handles signals.

    Gives its exit code.
    """
    # The warning about root is about pickled messages; these applications accept JSON alone.
    warnings.simplefilter("ignore", SecurityWarning)
    try:
        command.main(args=words, **options)
    except SystemExit as end:
        if not isinstance(end.code, int):
            raise
        return end.code
    raise AssertionError("A command of Celery's always ends in SystemExit")
