"""How long the message that is next in a queue has been waiting."""

from __future__ import annotations

import hashlib
import json

from ibutsu_tasks.delivery.dead.content import content_of
from ibutsu_tasks.packages import loaded


class WaitingSince:
    """Knows since when the next message of each Redis list is waiting.

    Ours say when they were sent, and of others a task package may know it. Else it is known for
    how long at least: since they were first seen to be next.
    """

    def __init__(self) -> None:
        self._seen: dict[str, tuple[bytes, float]] = {}

    def of(self, place: str, item: bytes, now: float) -> float:
        """Give the seconds since 1970 from which `item`, next in the list `place`, has been waiting."""
        digest = hashlib.sha256(item).digest()
        before, first_seen = self._seen.get(place, (b"", now))
        self._seen[place] = (digest, first_seen if before == digest else now)
        sent = sent_at(item)
        return self._seen[place][1] if sent is None else min(sent, now)


def sent_at(item: bytes) -> float | None:
    """Give when a message was sent, in seconds since 1970; None if nobody knows."""
    try:
        message = json.loads(item)
        stamp = message["properties"].get("timestamp")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None
    if isinstance(stamp, int | float) and not isinstance(stamp, bool):
        return float(stamp)
    content = content_of(message)
    known = (sent_at_of(content.task, content.args) for _, sent_at_of in loaded().each("sent_at"))
    return next((moment for moment in known if moment is not None), None)
