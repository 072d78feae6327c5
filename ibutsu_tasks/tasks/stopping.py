"""Tasks alone: whether the worker is shutting down, for the signal reaches the parent of its processes."""

from __future__ import annotations

import mmap
from typing import Any

from celery import signals

# Made before the worker forks, so that parent and children share it.
_shutting_down = mmap.mmap(-1, 1)


@signals.worker_shutting_down.connect(dispatch_uid="ibutsu-tasks-shutting-down")
def _take_note(**_: Any) -> None:
    _shutting_down[0] = True


def is_shutting_down() -> bool:
    """Say whether the worker of this process was asked to stop."""
    return bool(_shutting_down[0])
