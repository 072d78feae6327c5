"""Counts the tasks of this worker: what it takes, how each ends and how long it took.

Read from Celery 5.7: a request sends one event for each step of its task, in the process of the loop.
"""

from __future__ import annotations

import time
from typing import Any

from celery import signals

from ibutsu_tasks.delivery.counts import FAILURES, FINISHED, RECEIVED, count, observe
from ibutsu_tasks.delivery.request import Request

OUTCOMES = {
    "task-succeeded": "succeeded",
    "task-failed": "failed",
    "task-retried": "retried",
    "task-rejected": "rejected",
    "task-revoked": "revoked",
}

KINDS = {"WorkerLostError": "killed", "TimeLimitExceeded": "timed_out", "SoftTimeLimitExceeded": "timed_out"}
"""The kind of failure behind an error that is not the task's own."""

KINDS_OF_OUTCOMES = {"failed": "permanent", "retried": "temporary", "revoked": "revoked"}


class CountedRequest(Request):
    """A request that is counted when it ends."""

    def send_event(self, type: str, **fields: Any) -> None:  # noqa: A002 - the name in Celery
        """Send an event as Celery does."""
        if outcome := OUTCOMES.get(type):
            self._count(outcome, str(fields.get("exception")))
        super().send_event(type, **fields)

    def _count(self, outcome: str, exception: str) -> None:
        count(FINISHED, self.name, outcome)
        if kind := KINDS_OF_OUTCOMES.get(outcome):
            count(FAILURES, self.name, KINDS.get(exception.partition("(")[0], kind))
        if self.time_start:
            observe(self.name, outcome, max(time.time() - self.time_start, 0))


@signals.task_received.connect(dispatch_uid="ibutsu-tasks-task-received")
def _count_received(request: Any, **_: Any) -> None:
    count(RECEIVED, request.name)
