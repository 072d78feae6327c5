"""Messages set aside in Redis: no worker can carry them out, and none is thrown away or delivered again."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING
from uuid import uuid4

from ibutsu_tasks.clock import iso_utc, utc_now

if TYPE_CHECKING:
    import redis

QUARANTINE = "ibutsu-tasks:quarantine"
"""The hash that holds them: a key of each message's own → a JSON object with `at`, `queue`, `reason` and the
message as it came, as text (`message`) or, where it is none, in base64 (`message_base64`)."""

MAX_REASON_CHARS = 500


def set_aside(client: redis.Redis, message: bytes, queue: str, reason: str, key: str | None = None) -> None:
    """Keep a message; a second time under the same key replaces the first."""
    entry = {"at": iso_utc(utc_now()), "queue": queue, "reason": reason[:MAX_REASON_CHARS]}
    try:
        entry["message"] = message.decode()
    except UnicodeDecodeError:
        entry["message_base64"] = base64.b64encode(message).decode()
    client.hset(QUARANTINE, key or str(uuid4()), json.dumps(entry))


def count_set_aside(client: redis.Redis) -> int:
    """Count the messages that were set aside."""
    return int(client.hlen(QUARANTINE))
