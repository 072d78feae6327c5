"""The progress of a running task: in its state in the result backend, and on the channel `job_updates`."""

from __future__ import annotations

import logging
import os
import time
from typing import TYPE_CHECKING, Any

from celery import states
from celery.backends.redis import RedisBackend
from redis.exceptions import RedisError

from ibutsu_tasks.broker.job_updates import publish

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ibutsu_tasks.tasks.base import DatabaseTask

logger = logging.getLogger(__name__)

PAUSE_SECONDS = 0.2
SHARE_OF_TIME = 20
"""Reporting takes at most one part in so many of a task's time."""


class Reporter:
    """Reports the progress of one task, at most five times a second besides the first and the last time.

    On the channel goes one JSON object: `task_id`, what the task is `about` by kind, `status`, `done`,
    `total` and `worker`. As best it can: what Redis does not take within its time limit is left out, and so
    is anything after that.
    """

    def __init__(
        self,
        task: DatabaseTask,
        task_id: str | None,
        about: Mapping[str, str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._task = task
        self._task_id = str(task_id)
        self._about = about
        self._clock = clock
        self._done = self._total = 0
        self._next = 0.0
        # Run right here, without a worker, nobody follows.
        self._is_mute = task.request.is_eager or task_id is None

    def __call__(self, done: int, total: int, state: Mapping[str, Any] | None = None) -> None:
        """Report it, unless that was done a moment ago. The first time costs one PUBLISH.

        The task's state holds `done`, `total` and what is in `state`.
        """
        self._done, self._total = done, total
        now = self._clock()
        if self._is_mute or now < self._next:
            return
        state = {"done": done, "total": total, **(state or {})}
        self._publish("running", state if self._next else None)
        took_seconds = self._clock() - now
        self._next = now + took_seconds + max(PAUSE_SECONDS, took_seconds * SHARE_OF_TIME)

    def end(self, status: str, **facts: Any) -> None:
        """Report how it ended, such as `done` or `error`; the task's state is Celery's then."""
        self._publish(status, None, **facts)

    def _publish(self, status: str, state: Mapping[str, Any] | None, **facts: Any) -> None:
        if self._is_mute:
            return
        request, resources = self._task.request, self._task.resources
        worker = str(request.hostname or "")
        amounts = {"status": status, "done": self._done, "total": self._total, "worker": worker}
        try:
            publish(resources.brief_redis, {"task_id": self._task_id, **self._about, **amounts, **facts})
            if state is not None:
                store(self._task, self._task_id, state)
        except (RedisError, OSError) as error:
            self._is_mute = True
            what = " ".join(self._about.values()) or self._task_id
            logger.warning("the progress of %s %s is no longer reported: %s", self._task.name, what, error)


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
