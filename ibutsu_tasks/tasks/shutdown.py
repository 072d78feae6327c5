"""Whether the worker shuts down, as its pool processes see it."""

from __future__ import annotations

import mmap
import time
from typing import Any

from celery import signals
from celery.exceptions import Reject

STEP_SECONDS = 0.2

# Made before the worker forks, so that parent and children share it: the signal reaches the parent alone.
_shutting_down = mmap.mmap(-1, 1)


@signals.worker_shutting_down.connect(dispatch_uid="ibutsu-tasks-shutting-down")
def _note_shutdown(**_: Any) -> None:
    _shutting_down[0] = True


def is_shutting_down() -> bool:
    """Say whether the worker shuts down."""
    return bool(_shutting_down[0])


def wait_in_task(pause_seconds: float) -> None:
    """Wait inside a task. Raises Reject, which puts its message back, when the worker shuts down."""
    deadline = time.monotonic() + pause_seconds
    while (left_seconds := deadline - time.monotonic()) > 0:
        if is_shutting_down():
            raise Reject("the worker shuts down", requeue=True)
        time.sleep(min(left_seconds, STEP_SECONDS))
