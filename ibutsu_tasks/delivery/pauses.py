"""For how long a message waits that is to run again: for its pause, whatever a clock says.

Celery writes down the moment by the clock of the sender, and reads it by that of the worker. Either may be
hours off; so here it is by the clock of the broker's Redis, which all of them see.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from redis import Redis

PAUSE_HEADER = "ibutsu_tasks_pause_seconds"
"""How long a message that is sent again, or put back, is to wait."""

LONGEST_PAUSE_SECONDS = 3600.0
"""What is longer was not written by us."""


def broker_now(client: Redis) -> datetime:
    """Give the time by the clock of Redis. Raises what the client raises."""
    answer: Any = client.time()
    seconds, microseconds = answer
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=microseconds)


def after(client: Redis, pause_seconds: float) -> tuple[datetime, dict[str, float]]:
    """Give the ETA and the headers of a message that is to wait so long from now. Raises as `broker_now`."""
    return broker_now(client) + timedelta(seconds=pause_seconds), {PAUSE_HEADER: pause_seconds}


def has_pause(headers: Mapping[str, Any]) -> bool:
    """Say whether a message waits for a pause of ours."""
    seconds = headers.get(PAUSE_HEADER)
    return isinstance(seconds, int | float) and 0 <= seconds <= LONGEST_PAUSE_SECONDS


def eta_here(headers: Mapping[str, Any], eta: datetime, now: datetime) -> datetime:
    """Give when a message with a pause is to run, by the clock of this host; `now` is by that of Redis.

    Builds of before wrote the ETA by a clock of their own, so it is never later than the pause.
    """
    rest = min(eta - now, timedelta(seconds=headers[PAUSE_HEADER]))
    return datetime.now(UTC) + max(rest, timedelta())


def is_waiting(message: Mapping[str, Any], now: datetime) -> bool:
    """Say whether a message as it lies in Redis is for later than `now`, by the clock of Redis."""
    try:
        eta = datetime.fromisoformat(message["headers"]["eta"])
    except (LookupError, TypeError, ValueError):
        return False
    return (eta if eta.tzinfo else eta.replace(tzinfo=UTC)) > now
