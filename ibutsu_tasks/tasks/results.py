"""The results of tasks in Redis, which wait for their Redis as tasks wait for their database."""

from __future__ import annotations

from functools import partial
from typing import Any

from celery import states
from celery.backends.redis import RedisBackend

from ibutsu_tasks.logs.lines import current_task
from ibutsu_tasks.tasks.later import later
from ibutsu_tasks.tasks.outages import RESULTS, outages
from ibutsu_tasks.tasks.retries import do_patiently
from ibutsu_tasks.temporary_errors import is_temporary


class Backend(RedisBackend):
    """Celery's backend in Redis. A task is not over before its outcome is stored."""

    def store_result(self, task_id: str, result: Any, state: str, *args: Any, **kwargs: Any) -> Any:
        """Store a task's state: its end for certain, what it does meanwhile if Redis takes it.

        Raises Reject when the worker shuts down while a task waits: it will be run again.
        """
        store = partial(super().store_result, task_id, result, state, *args, **kwargs)
        is_end = state in states.READY_STATES
        if is_end and current_task.get() is not None:
            do_patiently(store, RESULTS)
            return result
        try:
            store()
        except Exception as error:
            if not is_temporary(error):
                raise
            outages.note(RESULTS, error)
            if is_end:
                later.append(lambda _: store())
        else:
            outages.end(RESULTS)
        return result

    def on_connection_error(self, max_retries: Any, exc: Any, intervals: Any, retries: Any) -> Any:  # noqa: ARG002 - Celery's
        """Say nothing of one broken connection: the second try opens a new one."""
        return next(intervals)
