"""Tasks called `db` in messages: those that prune until the worker shuts down, and one that makes users."""

from __future__ import annotations

import logging
import socket
import time
from dataclasses import asdict, dataclass
from typing import Any

from celery import shared_task
from redis.exceptions import RedisError

from ibutsu_tasks.errors import BusyError, TaskArgumentsError
from ibutsu_tasks.ibutsu.operations import seeding
from ibutsu_tasks.ibutsu.operations.imports import content
from ibutsu_tasks.ibutsu.operations.prune import run_prune
from ibutsu_tasks.ibutsu.operations.prune.history import PruneHistory, Recording
from ibutsu_tasks.ibutsu.operations.prune.watch import PruneMonitor, PruneProgress
from ibutsu_tasks.ibutsu.retention import RULES_BY_NAME
from ibutsu_tasks.ibutsu.settings import RETENTION
from ibutsu_tasks.ibutsu.wire_names import (
    CLEAR_IMPORT_FILE_CONTENT,
    PRUNE_OLD_FILES,
    PRUNE_OLD_IMPORT_FILES,
    PRUNE_OLD_RESULTS,
    PRUNE_OLD_RUNS,
    SEED_USERS,
)
from ibutsu_tasks.tasks.base import DatabaseTask
from ibutsu_tasks.tasks.progress import store
from ibutsu_tasks.tasks.shutdown import is_shutting_down

logger = logging.getLogger(__name__)

Number = int | str
"""The API's `POST /admin/run-task` may send numbers as strings."""


PROGRESS_PAUSE_SECONDS = 0.5


@dataclass(slots=True)
class TaskMonitor(PruneMonitor):
    """Shows the progress of a prune in its task's state and in its record; the worker's shutdown stops it."""

    task: DatabaseTask
    recording: Recording
    _next: float = 0.0

    def report(self, progress: PruneProgress) -> None:
        """Store it, as the task's state at most twice a second; a backend that takes none stops no prune."""
        self.recording.on_progress(progress.rows)
        request = self.task.request
        if request.is_eager or time.monotonic() < self._next:
            return
        self._next = time.monotonic() + PROGRESS_PAUSE_SECONDS
        try:
            store(self.task, str(request.id), asdict(progress))
        except (RedisError, OSError) as error:
            logger.warning("could not store how far the prune is: %s", error)

    def should_stop(self) -> bool:
        """Say whether the worker shuts down."""
        return is_shutting_down()


def _prune(task: DatabaseTask, rule_name: str, age: Number) -> run_prune.PruneSummary:
    """Run a rule at `age`, counted in the unit of the task's argument.

    Raises TaskArgumentsError, what `run_prune.prune` raises, and BusyError when the worker is shutting down:
    the message is sent again, and whoever takes it continues.
    """
    rule = RULES_BY_NAME[rule_name]
    try:
        # Through text: int() alone would round 2.9 months down, and delete more than was asked for.
        age_days = int(str(age)) * rule.days_per_unit
    except ValueError:
        raise TaskArgumentsError(f"{rule.unit} must be a whole number, not {age!r}.") from None
    where = task.request.hostname or socket.gethostname()
    history = PruneHistory(lambda: task.resources.redis, logger.warning, "task", where, task.request.id)
    with history.recorded(rule.name, age_days) as recording:
        summary = run_prune.prune(
            task.session,
            rule,
            age_days,
            project_ages=task.resources.settings.value(RETENTION),
            monitor=TaskMonitor(task, recording),
        )
        recording.end(summary)
    if summary.stopped:
        raise BusyError(f"The worker stops; {sum(summary.deleted.values())} rows of {rule.name} are deleted.")
    if summary.left:
        logger.warning("%d due rows of %s are in use; the next prune takes them.", summary.left, rule.table)
    return summary


@shared_task(name=PRUNE_OLD_FILES, bind=True, base=DatabaseTask)
def prune_old_files(self: DatabaseTask, months: Number = 5) -> dict[str, Any]:
    """Delete artifacts uploaded more than `months` of 30 days ago."""
    return _prune(self, "files", months).as_json()


@shared_task(name=PRUNE_OLD_RESULTS, bind=True, base=DatabaseTask)
def prune_old_results(self: DatabaseTask, months: Number = 6) -> dict[str, Any]:
    """Delete results, with their artifacts, that started more than `months` of 30 days ago."""
    return _prune(self, "results", months).as_json()


@shared_task(name=PRUNE_OLD_RUNS, bind=True, base=DatabaseTask)
def prune_old_runs(self: DatabaseTask, months: Number = 12) -> dict[str, Any]:
    """Delete runs, with their results and artifacts, that started more than `months` of 30 days ago."""
    return _prune(self, "runs", months).as_json()


@shared_task(name=PRUNE_OLD_IMPORT_FILES, bind=True, base=DatabaseTask)
def prune_old_import_files(self: DatabaseTask, days: Number = 7) -> str:
    """Delete import records, with their files, older than `days`; the answers are the Ibutsu server's own."""
    summary = _prune(self, "imports", days)
    return (
        summary.skipped
        or f"Deleted {summary.deleted['imports']} import records older than {summary.older_than_days} days"
    )


@shared_task(name=CLEAR_IMPORT_FILE_CONTENT, bind=True, base=DatabaseTask)
def clear_import_file_content(self: DatabaseTask, import_id: str) -> str:
    """Drop the bytes of a finished import; its record stays."""
    with self.transaction() as (session, _):
        return content.clear_content(session, import_id)


@shared_task(name=SEED_USERS, bind=True, base=DatabaseTask)
def seed_users(self: DatabaseTask, projects: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Create missing users and make them owners and members of projects."""
    with self.transaction() as (session, _):
        return asdict(seeding.seed_users(session, projects))
