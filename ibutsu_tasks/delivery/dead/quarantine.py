"""Messages set aside in Redis: no worker can carry them out, and none is thrown away or delivered again."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from ibutsu_tasks.broker.layout import QUARANTINE, redis_list
from ibutsu_tasks.clock import iso_utc, utc_now
from ibutsu_tasks.delivery.dead.content import Content, content_of
from ibutsu_tasks.delivery.dead.envelope import JSON, problem_of
from ibutsu_tasks.delivery.dead.losses import key_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import redis

MAX_REASON_CHARS = 500

_ENTRIES_PER_SCAN = 100
_FACTS = ("deliveries", "first_at", "last_at", "ended_by", "memory_at_most_bytes")

# The message is in its queue before it leaves the quarantine, for a script that fails is not undone.
_PUT_BACK = """
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then return 0 end
redis.call('LPUSH', KEYS[2], ARGV[2])
redis.call('DEL', KEYS[3])
return redis.call('HDEL', KEYS[1], ARGV[1])
"""


@dataclass(frozen=True, slots=True)
class DeadMessage:
    """A message that was set aside, and why."""

    id: str
    at: str
    queue: str
    reason: str
    raw: bytes
    """The message as it came."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Of one that lost its processes: `deliveries`, `first_at`, `last_at`, and how the last process ended."""

    @property
    def message(self) -> dict[str, Any] | None:
        """The message as the object that it is; None for garbage."""
        try:
            message = json.loads(self.raw)
        except (ValueError, RecursionError):
            return None
        return message if isinstance(message, dict) else None

    @property
    def content(self) -> Content:
        """What could be read of it."""
        return content_of(self.message or {})

    @property
    def obstacle(self) -> str | None:
        """Say why it cannot be put back; None when a worker may take it."""
        message = self.message
        if (problem := problem_of(self.raw)) is not None:
            return f"it is no message: {problem}"
        if message is None or self.content.task is None:
            return "it names no task"
        if message.get("content-type") != JSON:
            return "its content is not JSON, and nothing else is accepted"
        if (expires := _moment(message["headers"].get("expires"))) and expires < datetime.now(UTC):
            return f"it expired at {iso_utc(expires.replace(tzinfo=None))}"
        return None


def _moment(text: Any) -> datetime | None:
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        return None


def set_aside(
    client: redis.Redis,
    message: bytes,
    queue: str,
    reason: str,
    key: str | None = None,
    facts: Mapping[str, Any] | None = None,
) -> None:
    """Keep a message; a second time under the same key replaces the first."""
    entry = {"at": iso_utc(utc_now()), "queue": queue, "reason": reason[:MAX_REASON_CHARS], **(facts or {})}
    try:
        entry["message"] = message.decode()
    except UnicodeDecodeError:
        entry["message_base64"] = base64.b64encode(message).decode()
    client.hset(QUARANTINE, key or str(uuid4()), json.dumps(entry))


def count_set_aside(client: redis.Redis) -> int:
    """Count the messages that were set aside."""
    return int(client.hlen(QUARANTINE))


def read_set_aside(client: redis.Redis) -> Iterator[DeadMessage]:
    """Give the messages that were set aside, in no order, a few at a time."""
    for key, entry in client.hscan_iter(QUARANTINE, count=_ENTRIES_PER_SCAN):
        yield _parse(key.decode("utf-8", "surrogateescape"), entry)


def _parse(key: str, entry: bytes) -> DeadMessage:
    try:
        fields = json.loads(entry)
        encoded = fields.get("message_base64")
        raw = fields.get("message", "").encode() if encoded is None else base64.b64decode(encoded)
        at, queue, reason = (str(fields[name]) for name in ("at", "queue", "reason"))
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return DeadMessage(key, "", "", "what is here is no record of ours", entry)
    facts = {name: fields[name] for name in _FACTS if name in fields}
    return DeadMessage(key, at, queue, reason, raw, facts)


def put_back(client: redis.Redis, dead: DeadMessage) -> bool:
    """Send a message again and count its losses anew, in one step; False when somebody else has taken it."""
    message = dead.message or {}
    keys = (QUARANTINE, redis_list(dead.queue, message["properties"].get("priority")), key_of(message))
    return bool(client.eval(_PUT_BACK, len(keys), *keys, dead.id, dead.raw))


def drop(client: redis.Redis, dead: DeadMessage) -> bool:
    """Throw a message away; False when somebody else has taken it."""
    return bool(client.hdel(QUARANTINE, dead.id.encode("utf-8", "surrogateescape")))
