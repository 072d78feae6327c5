"""Waiting for what a task came to, with a time limit on every step."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from celery.app.backends import by_url
from celery.exceptions import BackendError
from kombu.exceptions import KombuError
from redis.exceptions import RedisError

from ibutsu_tasks.broker import describe
from ibutsu_tasks.errors import IbutsuTasksError, ServiceUnreachableError, WaitTimeoutError
from ibutsu_tasks.settings.masking import Masker

if TYPE_CHECKING:
    from celery import Celery

FIRST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 1.0
PAUSE_GROWTH = 1.3

ENDED = frozenset({"SUCCESS", "FAILURE", "REVOKED"})
STARTED = "STARTED"


@dataclass(frozen=True, slots=True)
class TaskOutcome:
    """How a task ended: its JSON result, or one sentence and the worker's traceback."""

    task_id: str
    succeeded: bool
    result: Any = None
    error: str | None = None
    traceback: str | None = None


class ResultReader:
    """Reads results by asking for them, never by subscribing: a dead backend is met at once."""

    def __init__(self, app: Celery, backend_url: str) -> None:
        self._place, self._masker = describe(backend_url), Masker([backend_url])
        backend_class, url = cast("Any", by_url)(backend_url, app.loader)
        self._backend = backend_class(app=app, url=url)

    def wait(self, task_id: str, timeout_seconds: float) -> TaskOutcome:
        """Wait for the end of a task.

        Raises WaitTimeoutError when it does not come in time, ServiceUnreachableError when the result
        backend is gone.
        """
        deadline = time.monotonic() + timeout_seconds
        pause_seconds = FIRST_PAUSE_SECONDS
        while (outcome := self.read(task_id)) is None:
            left_seconds = deadline - time.monotonic()
            if left_seconds <= 0:
                raise WaitTimeoutError(
                    f"Task {task_id} has not ended after {timeout_seconds:g} s; it may be queued or running.",
                    "Give --wait more seconds; `ibutsu-tasks doctor --only workers` says who works.",
                )
            time.sleep(min(pause_seconds, left_seconds))
            pause_seconds = min(pause_seconds * PAUSE_GROWTH, LONGEST_PAUSE_SECONDS)
        return outcome

    def progress(self, task_id: str) -> dict[str, Any]:
        """Give the progress a running task has stored; empty when there is none, or it does not run.

        Raises ServiceUnreachableError when the result backend is gone.
        """
        meta = self._meta(task_id)
        progress = meta["result"] if meta["status"] == STARTED else None
        return progress if isinstance(progress, dict) else {}

    def read(self, task_id: str) -> TaskOutcome | None:
        """Give how a task ended; None when it has not, or when no task has this id."""
        meta = self._meta(task_id)
        if meta["status"] not in ENDED:
            return None
        if meta["status"] == "SUCCESS":
            return TaskOutcome(task_id, succeeded=True, result=meta["result"])
        return TaskOutcome(
            task_id,
            succeeded=False,
            error=explain_failure(meta["result"]),
            traceback=meta.get("traceback"),
        )

    def _meta(self, task_id: str) -> dict[str, Any]:
        try:
            meta: dict[str, Any] = self._backend.get_task_meta(task_id)
        except (RedisError, KombuError, BackendError, OSError) as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise ServiceUnreachableError(
                f"The result backend at {self._place} did not work: {self._masker.mask(reason)}",
                "The task was sent. Check CELERY_RESULT_BACKEND, then run `ibutsu-tasks doctor`.",
            ) from error
        return meta


def explain_failure(error: object) -> str:
    """Give one sentence for what a task raised: our own errors have one, others are named first."""
    # SQLAlchemy continues with the statement.
    sentence = " ".join(str(error).split()).partition(" [SQL: ")[0]
    if isinstance(error, IbutsuTasksError):
        return sentence
    name = type(error).__name__
    return f"{name}: {sentence}" if sentence else name
