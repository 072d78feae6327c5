"""Running a retention rule from a task, until the worker shuts down."""

from __future__ import annotations

import logging
import socket
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from redis.exceptions import RedisError

from ibutsu_tasks.errors import BusyError, TaskArgumentsError
from ibutsu_tasks.retention.history import PruneHistory, Recording
from ibutsu_tasks.retention.monitor import PruneMonitor, PruneProgress
from ibutsu_tasks.retention.rules import rule_named
from ibutsu_tasks.tasks.progress import store
from ibutsu_tasks.tasks.shutdown import is_shutting_down

if TYPE_CHECKING:
    from ibutsu_tasks.retention.run_prune import PruneSummary
    from ibutsu_tasks.tasks.base import DatabaseTask

logger = logging.getLogger(__name__)

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


def prune(task: DatabaseTask, rule_name: str, age: int | str) -> PruneSummary:
    """Run a retention rule at `age`, counted in the rule's unit; give what was deleted.

    Raises TaskArgumentsError, what `run_prune.prune` raises, and BusyError when the worker is shutting down:
    the message is sent again, and whoever takes it continues.
    """
    from ibutsu_tasks.retention import run_prune  # noqa: PLC0415 - with SQLAlchemy, which a sender lacks

    rule = rule_named(rule_name)
    try:
        # Through text: int() alone would round 2.9 months down, and delete more than was asked for.
        age_days = int(str(age)) * rule.days_per_unit
    except ValueError:
        raise TaskArgumentsError(f"{rule.unit} must be a whole number, not {age!r}.") from None
    where = task.request.hostname or socket.gethostname()
    history = PruneHistory(lambda: task.resources.redis, logger.warning, "task", where, task.request.id)
    with history.recorded(rule.name, age_days) as recording:
        monitor = TaskMonitor(task, recording)
        settings = task.resources.settings
        summary = run_prune.prune(task.session, rule, age_days, settings, monitor=monitor)
        recording.end(summary)
    if summary.stopped:
        raise BusyError(f"The worker stops; {sum(summary.deleted.values())} rows of {rule.name} are deleted.")
    if summary.left:
        logger.warning("%d due rows of %s are in use; the next prune takes them.", summary.left, rule.table)
    return summary
