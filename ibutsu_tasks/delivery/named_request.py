"""Celery's request, of which the log of the worker's own process names task, import or run, and duration.

Read from Celery 5.7.0: what it logs of a task outside its process has these in a sentence at best.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from celery.worker.request import Request as CeleryRequest

from ibutsu_tasks.delivery.dead.content import about_call
from ibutsu_tasks.logs.lines import RunningTask, received_tasks, speaking_of

if TYPE_CHECKING:
    from contextlib import AbstractContextManager


class NamedRequest(CeleryRequest):
    """A request that the log of the worker knows from when it is received to its end."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        name = self.task.name
        self._received = RunningTask(name, self.id, about_call(name, self.args, self.kwargs))
        received_tasks[self.id] = self._received

    def revoked(self) -> bool:
        """Tell whether the task was revoked, as Celery does."""
        with self._named():
            return super().revoked()

    def on_timeout(self, soft: bool, timeout: float) -> None:
        """Do what follows from a time limit, as Celery does; a soft one leaves the task running."""
        with self._named(has_ended=not soft):
            super().on_timeout(soft, timeout)

    def on_failure(self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False) -> Any:
        """End the task as Celery does."""
        with self._named(has_ended=True):
            return super().on_failure(exc_info, send_failed_event, return_ok)

    def _named(self, *, has_ended: bool = False) -> AbstractContextManager[None]:
        """Have what is logged meanwhile be about this task."""
        task = self._received
        if has_ended and self.time_start:
            began = time.monotonic() - max(time.time() - self.time_start, 0)
            task = replace(task, began=began, has_ended=True)
        return speaking_of(task)
