"""What lets a long task see that its worker is shutting down: the signal reaches the parent alone."""

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
