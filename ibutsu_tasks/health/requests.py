"""Counts the tasks that end in this worker, by name and outcome.

Read from Celery 5.7: a request sends one event for each step of its task, in the process of the loop.
"""

from __future__ import annotations

from typing import Any

from ibutsu_tasks.delivery.request import Request
from ibutsu_tasks.health.metrics import finished

OUTCOMES = {
    "task-succeeded": "succeeded",
    "task-failed": "failed",
    "task-retried": "retried",
    "task-rejected": "rejected",
    "task-revoked": "revoked",
}


class CountedRequest(Request):
    """A request that is counted when it ends."""

    def send_event(self, type: str, **fields: Any) -> None:  # noqa: A002 - the name in Celery
        """Send an event as Celery does."""
        if outcome := OUTCOMES.get(type):
            finished[self.name, outcome] += 1
        super().send_event(type, **fields)
