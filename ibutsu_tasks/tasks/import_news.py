"""Telling how far a running import is: in the task's state, and on the channel `job_updates`."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from redis.exceptions import RedisError

from ibutsu_tasks.job_updates import JobUpdate, publish
from ibutsu_tasks.tasks.running_state import store_running_state

if TYPE_CHECKING:
    from uuid import UUID

    from ibutsu_tasks.tasks.base import DatabaseTask

logger = logging.getLogger(__name__)

PAUSE_SECONDS = 0.2
SHARE_OF_TIME = 20
"""Telling takes at most one part in so many of the time."""


class ImportNews:
    """Tells of one import, at most five times a second besides the first and the last time.

    As best it can: what Redis does not take within its time limit is not told, nor anything after that.
    """

    def __init__(self, task: DatabaseTask, task_id: str | None, import_id: UUID) -> None:
        self._task = task
        self._task_id = str(task_id)
        self._import_id = str(import_id)
        self._done = self._total = 0
        self._next = 0.0
        # Run right here, without a worker, there is nobody to tell.
        self._is_mute = task.request.is_eager or task_id is None

    def __call__(self, cases: int, bytes_read: int, bytes_total: int) -> None:
        """Tell how far it is, unless that was told a moment ago. The first time costs one PUBLISH."""
        self._done, self._total = bytes_read, bytes_total
        now = time.monotonic()
        if self._is_mute or now < self._next:
            return
        state = {"cases": cases, "bytes_read": bytes_read, "bytes_total": bytes_total}
        self._tell("running", state if self._next else None)
        took_seconds = time.monotonic() - now
        self._next = now + took_seconds + max(PAUSE_SECONDS, took_seconds * SHARE_OF_TIME)

    def end(self, status: str) -> None:
        """Tell that it ended, as `done` or as `error`; the task's state is Celery's then."""
        self._tell(status, None)

    def _tell(self, status: str, state: dict[str, Any] | None) -> None:
        if self._is_mute:
            return
        request, resources = self._task.request, self._task.resources
        worker = str(request.hostname or "")
        update = JobUpdate(self._task_id, self._import_id, status, self._done, self._total, worker)
        try:
            publish(resources.brief_redis, update)
            if state is not None:
                store_running_state(self._task, self._task_id, state)
        except (RedisError, OSError) as error:
            self._is_mute = True
            logger.warning("the progress of import %s is not told any more: %s", self._import_id, error)
