"""The progress of a prune in its task's state."""

from __future__ import annotations

import logging
import time
from dataclasses import asdict
from typing import TYPE_CHECKING

from redis.exceptions import RedisError

from ibutsu_tasks.tasks.running_state import store_running_state

if TYPE_CHECKING:
    from ibutsu_tasks.operations.prune.watch import PruneProgress
    from ibutsu_tasks.tasks.base import DatabaseTask

logger = logging.getLogger(__name__)

INTERVAL_SECONDS = 0.5


class PruneState:
    """Tells how far a prune is in the state of its task, `STARTED`, at most twice a second."""

    def __init__(self, task: DatabaseTask) -> None:
        self._task = task
        self._next = 0.0

    def tell(self, progress: PruneProgress) -> None:
        """Store it; a result backend that does not take it stops no prune."""
        if self._task.request.is_eager or time.monotonic() < self._next:
            return
        self._next = time.monotonic() + INTERVAL_SECONDS
        try:
            store_running_state(self._task, str(self._task.request.id), asdict(progress))
        except (RedisError, OSError) as error:
            logger.warning("could not store how far the prune is: %s", error)
