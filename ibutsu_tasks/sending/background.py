"""Tasks without a broker: run in this process, right here or one after the other in a thread of its own.

Like a task in a worker's hands they need the database, and unlike there nothing is tried again.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ibutsu_tasks.celery_app import build_database_app
from ibutsu_tasks.sending.messages import TaskOutcome, outcome_of, through_json
from ibutsu_tasks.sending.status import Status
from ibutsu_tasks.tasks import DatabaseTask

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ibutsu_tasks.settings import Settings
    from ibutsu_tasks.tasks.base import DatabaseCelery

logger = logging.getLogger(__name__)

LOCAL_NAME = "ibutsu_server_local"

MOST_KEPT = 1000
"""How many tasks that have ended are known by their id; their handles know them for ever."""

REVOKED = "It was revoked before it began."


def build_local_app(settings: Settings, *, set_as_current: bool = True) -> DatabaseCelery:
    """Build the application that runs tasks right here. Raises SettingsError when no database is named."""
    settings.require_database()
    return build_database_app(LOCAL_NAME, settings, set_as_current=set_as_current)


def run_here(
    app: DatabaseCelery,
    name: str,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    task_id: str | None = None,
) -> tuple[TaskOutcome, BaseException | None]:
    """Run a task, and what it sends, in this thread; give how it ended, and what it raised."""
    ended = app.tasks[name].apply(tuple(args), dict(kwargs), task_id=task_id)
    outcome = outcome_of(str(ended.id), ended.result, ended.traceback, succeeded=ended.successful())
    return outcome, ended.result if isinstance(ended.result, BaseException) else None


@dataclass(slots=True)
class Call:
    """A task in the background, and how it fares."""

    task_id: str
    name: str
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    due: float
    """When it may begin, by the monotonic clock."""
    status: Status = field(default_factory=lambda: Status("PENDING"))


class Background:
    """One daemon thread that runs tasks in the order in which they came, those for later when it is time."""

    def __init__(self, settings: Settings) -> None:
        self._app = build_local_app(settings, set_as_current=False)
        self._mask = settings.mask
        self._changed = threading.Condition()
        self._numbers = itertools.count()
        self._queue: list[tuple[float, int, Call]] = []
        self._open: dict[str, Call] = {}
        self._known: dict[str, Call] = {}
        self._is_over = False
        self._thread = threading.Thread(target=self._run, name="tasks-without-broker", daemon=True)
        self._thread.start()

    def has_task(self, name: str) -> bool:
        """Tell whether a task of this full name can run here."""
        return name in self._app.tasks

    def add(
        self, task_id: str, name: str, args: Sequence[Any], kwargs: Mapping[str, Any], later_seconds: float
    ) -> Call:
        """Have a task run, `later_seconds` from now at the soonest."""
        call = Call(task_id, name, args, kwargs, time.monotonic() + later_seconds)
        with self._changed:
            self._open[task_id] = self._known[task_id] = call
            self._put(call)
        return call

    def find(self, task_id: str) -> Call | None:
        """Give one of the tasks of this process."""
        return self._known.get(task_id)

    def cancel(self, call: Call) -> bool:
        """Keep a task from beginning; one that runs goes on."""
        with self._changed:
            if call.status.state != "PENDING":
                return False
            call.status = Status("REVOKED", error=REVOKED)
            # The thread, which may use the database, tells the task.
            call.due = time.monotonic()
            self._put(call)
        return True

    def finish(self, wait_seconds: float) -> None:
        """Wait for what can end within so many seconds, and log the names of what has not."""
        deadline = time.monotonic() + wait_seconds
        with self._changed:
            self._changed.wait_for(
                lambda: all(call.due > deadline for call in self._open.values()), wait_seconds
            )
            self._is_over = True
            self._changed.notify_all()
            left = list(self._open.values())
        for call in left:
            what = "was still running" if call.status.state == "STARTED" else "had not begun"
            logger.error(
                "Task %s[%s] %s when its process ended: send it again.", call.name, call.task_id, what
            )

    def _put(self, call: Call) -> None:
        heapq.heappush(self._queue, (call.due, next(self._numbers), call))
        self._changed.notify_all()

    def _run(self) -> None:
        # Of this thread alone.
        self._app.set_current()
        while (call := self._next()) is not None:
            if call.status.state == "REVOKED":
                self._tell_revoked(call)
            else:
                self._carry_out(call)
            with self._changed:
                del self._open[call.task_id]
                self._forget_old()
                self._changed.notify_all()
        self._app.resources.close()

    def _next(self) -> Call | None:
        """Wait for a task that may begin; None when there is to be no other."""
        with self._changed:
            while not self._is_over:
                left_seconds = self._queue[0][0] - time.monotonic() if self._queue else None
                if left_seconds is not None and left_seconds <= 0:
                    call = heapq.heappop(self._queue)[2]
                    # One that was cancelled stands there twice.
                    if call.task_id in self._open:
                        call.status = Status("STARTED") if call.status.state == "PENDING" else call.status
                        return call
                else:
                    self._changed.wait(left_seconds)
        return None

    def _carry_out(self, call: Call) -> None:
        try:
            outcome, _ = run_here(self._app, call.name, call.args, call.kwargs, call.task_id)
            result = through_json(outcome.result)
        except BaseException as raised:  # noqa: BLE001 - whatever a task does, the next one runs
            outcome, result = outcome_of(call.task_id, raised, None, succeeded=False), None
        error = None if outcome.error is None else self._mask(outcome.error)
        call.status = Status("SUCCESS" if outcome.succeeded else "FAILURE", result, error)

    def _tell_revoked(self, call: Call) -> None:
        """End what waits for the task, as a worker does."""
        task = self._app.tasks[call.name]
        try:
            if isinstance(task, DatabaseTask):
                task.give_up(self._app.resources, call.args, call.kwargs, REVOKED)
        except Exception:
            logger.exception(
                "Task %s[%s] was cancelled, which cannot be written down.", call.name, call.task_id
            )

    def _forget_old(self) -> None:
        ended = [task_id for task_id in self._known if task_id not in self._open]
        for task_id in ended[:-MOST_KEPT]:
            del self._known[task_id]
