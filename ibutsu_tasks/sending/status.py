"""What is known of a task that was sent, whoever runs it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ibutsu_tasks.sending.messages import ENDED, explain_failure

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@dataclass(frozen=True, slots=True)
class Status:
    """How a task fares.

    `state` is PENDING, STARTED, RETRY, SUCCESS, FAILURE or REVOKED, in Celery's words. A worker stores that a
    task is STARTED with its first progress: without any, it stays PENDING while it runs. So does one that
    nobody has heard of.
    """

    state: str
    result: Any = None
    """What it returned, as JSON has it."""
    error: str | None = None
    """Why it failed, or is tried again, in one sentence."""
    done: int | None = None
    total: int | None = None
    """Of a running task that tells its progress, in units of the task's own."""

    @property
    def has_ended(self) -> bool:
        """Say whether it will not change any more."""
        return self.state in ENDED


def status_of(meta: Mapping[str, Any], mask: Callable[[str], str] = str) -> Status:
    """Read what Celery's result backend stored; `mask` hides secrets in the sentence of an error."""
    state, result = str(meta["status"]), meta["result"]
    if state == "SUCCESS":
        return Status(state, result)
    if isinstance(result, BaseException):
        return Status(state, error=mask(explain_failure(result)))
    told = result if isinstance(result, dict) else {}
    return Status(state, done=told.get("done"), total=told.get("total"))
