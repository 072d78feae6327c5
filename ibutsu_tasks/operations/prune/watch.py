"""What happens between two batches of a prune: progress is told, stopping is asked for, others catch up."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ibutsu_tasks.operations.prune.pressure import what_is_behind

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.orm import Session

    from ibutsu_tasks.operations.prune.due import DueRows

logger = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
"""How often a prune looks whether others are behind, and whether it still holds its lock."""

MAX_PAUSES_SECONDS = 600.0
"""All pauses of one prune together; after that it goes on, for what is behind may never catch up."""

STOP_LOOK_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class PruneProgress:
    """How far a prune is: rows of all tables deleted, and what it waits for if it pauses."""

    rule: str
    rows: int
    batches: int
    waiting_for: str | None = None


class PruneWatch:
    """Decides between batches whether a prune goes on. `lock_session` is the one that holds its lock."""

    def __init__(
        self,
        due: DueRows,
        lock_session: Session,
        on_progress: Callable[[PruneProgress], None],
        should_stop: Callable[[], bool],
    ) -> None:
        self._rule = due.rule.name
        self._tables = [table.name for table in due.tables]
        self._session = lock_session
        self._on_progress = on_progress
        self._should_stop = should_stop
        self._batches = 0
        self._next_look = 0.0
        self._paused_seconds = 0.0
        self._may_pause = True

    def goes_on(self, rows: int) -> bool:
        """Tell that a batch has ended, with `rows` deleted so far; False when the prune is to stop."""
        self._batches += 1
        self._on_progress(PruneProgress(self._rule, rows, self._batches))
        if not self._should_stop() and time.monotonic() >= self._next_look:
            self._pause_while_behind(rows)
            self._next_look = time.monotonic() + LOOK_SECONDS
        return not self._should_stop()

    def _pause_while_behind(self, rows: int) -> None:
        # Asked even when no pause is left: a lost session is a lost lock.
        while (behind := what_is_behind(self._session, self._tables)) and self._may_pause:
            if self._paused_seconds >= MAX_PAUSES_SECONDS:
                self._may_pause = False
                logger.warning("pruning %s goes on after pauses of 10 minutes, though %s", self._rule, behind)
                return
            self._on_progress(PruneProgress(self._rule, rows, self._batches, behind))
            if self._stops_within(LOOK_SECONDS):
                return
            self._paused_seconds += LOOK_SECONDS

    def _stops_within(self, seconds: float) -> bool:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self._should_stop():
                return True
            time.sleep(STOP_LOOK_SECONDS)
        return False
