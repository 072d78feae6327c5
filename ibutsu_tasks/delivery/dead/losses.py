"""Counts the processes that were lost over what a message is about, whatever its own id.

A process is lost when it is killed (signal 9, want of memory, a crash) under a task. A worker that is told to
stop, a task that is revoked, and a time limit lose nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ibutsu_tasks.broker.layout import LOSSES_PREFIX
from ibutsu_tasks.clock import iso_utc, utc_now
from ibutsu_tasks.delivery.dead.content import content_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from redis import Redis

MOST_LOSSES = 3
"""The last of these sets the message aside, unless the policy of its task has another number."""

LOSSES_TTL_SECONDS = 7 * 86_400
"""A count is forgotten so long after its last loss; work that ends in an orderly way deletes it at once."""

_PAUSES_SECONDS = (2, 10)
"""What a message waits after its first and its second loss: what killed the process may pass."""


# Who counts may be killed before the message is put back, and who comes after it counts again.
_COUNT = """
if redis.call('HGET', KEYS[1], 'delivery') ~= ARGV[1] then
  redis.call('HINCRBY', KEYS[1], 'losses', 1)
  redis.call('HSETNX', KEYS[1], 'first_at', ARGV[2])
  redis.call('HSET', KEYS[1], 'last_at', ARGV[2], 'delivery', ARGV[1])
  redis.call('EXPIRE', KEYS[1], ARGV[3])
end
return tonumber(redis.call('HGET', KEYS[1], 'losses'))
"""


def count_loss(client: Redis, message: Mapping[str, Any], delivery: str) -> int:
    """Count a process lost over a message as it lies in Redis, once for each `delivery` of it.

    Give how many processes its subject has lost.
    """
    now = str(iso_utc(utc_now()))
    return int(client.eval(_COUNT, 1, key_of(message), delivery, now, LOSSES_TTL_SECONDS))


def history_of(client: Redis, message: Mapping[str, Any]) -> dict[str, Any]:
    """Give what is known of the losses of a message's subject: `deliveries`, `first_at`, `last_at`."""
    key = key_of(message)
    known: list[Any] = client.hmget(key, "losses", "first_at", "last_at")
    losses, first_at, last_at = known
    if losses is None:
        return {}
    return {"deliveries": int(losses), "first_at": first_at.decode(), "last_at": last_at.decode()}


def clear(client: Redis, message: Mapping[str, Any]) -> None:
    """Forget the losses of a message's subject: a process has ended its work in an orderly way."""
    client.delete(key_of(message))


def key_of(message: Mapping[str, Any]) -> str:
    """Name the key of the losses of a message's subject."""
    return f"{LOSSES_PREFIX}{content_of(message).subject}"


def pause_seconds(losses: int) -> int:
    """Give what a message waits before it runs again after so many losses."""
    return _PAUSES_SECONDS[min(losses, len(_PAUSES_SECONDS)) - 1] if losses else 0
