"""For how long a message waits that is to run again: never longer than its pause, whatever a clock says.

Celery writes down the moment, by the clock of the sender; by another clock that may be hours away.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

PAUSE_HEADER = "ibutsu_tasks_pause_seconds"
"""How long a message that is sent again, or put back, is to wait."""

LONGEST_PAUSE_SECONDS = 3600.0
"""What is longer was not written by us."""


def limited_eta(headers: Mapping[str, Any], eta: datetime | None) -> datetime | None:
    """Give when a message that arrives now is to run: at its ETA, or when its pause is over."""
    pause_seconds = headers.get(PAUSE_HEADER)
    if eta is None or not isinstance(pause_seconds, int | float):
        return eta
    if not 0 <= pause_seconds <= LONGEST_PAUSE_SECONDS:
        return eta
    return min(eta, datetime.now(UTC) + timedelta(seconds=pause_seconds))
