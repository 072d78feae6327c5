"""How far a running task is, as its state in the result backend."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from celery import states
from celery.backends.redis import RedisBackend

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ibutsu_tasks.tasks.base import DatabaseTask


def store_running_state(task: DatabaseTask, task_id: str, facts: Mapping[str, Any]) -> None:
    """Store the task's state as Celery's backend does, with `facts` as its info, within our own time limit.

    It is `STARTED`, as Celery's own state of a running task: to any other that it does not know, the Ibutsu
    server answers as to a failure, and looks for a traceback. Raises RedisError and OSError.
    """
    if task.request.ignore_result or not isinstance(task.backend, RedisBackend):
        return
    backend: Any = task.backend
    told = {"pid": os.getpid(), "hostname": task.request.hostname, **facts}
    nothing_yet: dict[str, Any] = {"traceback": None, "children": [], "date_done": None}
    meta = {"status": states.STARTED, "result": told, "task_id": task_id, **nothing_yet}
    key, encoded = backend.get_key_for_task(task_id), backend.encode(meta)
    pipeline = task.resources.brief_backend.pipeline(transaction=False)
    pipeline.set(key, encoded, ex=backend.expires or None)
    # Whoever waits for the result listens to its key.
    pipeline.publish(key, encoded)
    pipeline.execute()
