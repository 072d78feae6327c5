"""Times as the tables hold them: naive, and UTC."""

from __future__ import annotations

from datetime import UTC, datetime


def utc_now() -> datetime:
    """Give the time of now, naive UTC."""
    return datetime.now(UTC).replace(tzinfo=None)


def iso_utc(moment: datetime | None, timespec: str = "seconds") -> str | None:
    """Give a naive UTC time as ISO 8601 with a `Z`; None for none."""
    return None if moment is None else f"{moment.isoformat(timespec=timespec)}Z"
