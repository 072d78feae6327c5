"""The progress of a running task, in its state in the result backend; of an import also on `job_updates`."""

from __future__ import annotations

import logging
import os
import time
from typing import TYPE_CHECKING, Any

from celery import states
from celery.backends.redis import RedisBackend
from redis.exceptions import RedisError

from ibutsu_tasks.broker.job_updates import JobUpdate, publish

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from uuid import UUID

    from ibutsu_tasks.tasks.base import DatabaseTask

logger = logging.getLogger(__name__)

IMPORT_PAUSE_SECONDS = 0.2
SHARE_OF_TIME = 20
"""Reporting takes at most one part in so many of an import's time."""


class ImportReporter:
    """Reports the progress of one import, at most five times a second besides the first and the last time.

    As best it can: what Redis does not take within its time limit is left out, and so is anything after that.
    """

    def __init__(
        self,
        task: DatabaseTask,
        task_id: str | None,
        import_id: UUID,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._task = task
        self._task_id = str(task_id)
        self._import_id = str(import_id)
        self._clock = clock
        self._done = self._total = 0
        self._next = 0.0
        # Run right here, without a worker, nobody follows.
        self._is_mute = task.request.is_eager or task_id is None

    def __call__(self, cases: int, bytes_read: int, bytes_total: int) -> None:
        """Report it, unless that was done a moment ago. The first time costs one PUBLISH."""
        self._done, self._total = bytes_read, bytes_total
        now = self._clock()
        if self._is_mute or now < self._next:
            return
        state = {"cases": cases, "bytes_read": bytes_read, "bytes_total": bytes_total}
        self._publish("running", state if self._next else None)
        took_seconds = self._clock() - now
        self._next = now + took_seconds + max(IMPORT_PAUSE_SECONDS, took_seconds * SHARE_OF_TIME)

    def end(self, status: str) -> None:
        """Report that it ended, as `done` or as `error`; the task's state is Celery's then."""
        self._publish(status, None)

    def _publish(self, status: str, state: dict[str, Any] | None) -> None:
        if self._is_mute:
            return
        request, resources = self._task.request, self._task.resources
        worker = str(request.hostname or "")
        update = JobUpdate(self._task_id, self._import_id, status, self._done, self._total, worker)
        try:
            publish(resources.brief_redis, update)
            if state is not None:
                store(self._task, self._task_id, state)
        except (RedisError, OSError) as error:
            self._is_mute = True
            logger.warning("the progress of import %s is no longer reported: %s", self._import_id, error)


def store(task: DatabaseTask, task_id: str, facts: Mapping[str, Any]) -> None:
    """Store the task's state as Celery's backend does, with `facts` as its info, within our own time limit.

    It is `STARTED`, as Celery's own state of a running task: to any other that it does not know, the Ibutsu
    server answers as to a failure, and looks for a traceback. Raises RedisError and OSError.
    """
    if task.request.ignore_result or not isinstance(task.backend, RedisBackend):
        return
    backend: Any = task.backend
    info = {"pid": os.getpid(), "hostname": task.request.hostname, **facts}
    nothing_yet: dict[str, Any] = {"traceback": None, "children": [], "date_done": None}
    meta = {"status": states.STARTED, "result": info, "task_id": task_id, **nothing_yet}
    key, encoded = backend.get_key_for_task(task_id), backend.encode(meta)
    pipeline = task.resources.brief_backend.pipeline(transaction=False)
    pipeline.set(key, encoded, ex=backend.expires or None)
    # Whoever waits for the result listens to its key.
    pipeline.publish(key, encoded)
    pipeline.execute()
