"""A message that this process holds: as it came, and how it goes back.

Reaches into kombu 5.7.0: the payload of a message, how a queue is found, and how held messages lie in Redis.
"""
# ruff: noqa: SLF001 - all of it in this file

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from ibutsu_tasks.broker.layout import UNACKED, UNACKED_INDEX
from ibutsu_tasks.delivery.held.taking import GIVE_UP, Held, held_key, look_up
from ibutsu_tasks.delivery.pauses import after

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis import Redis


def raw_of(message: Any) -> dict[str, Any]:
    """Give kombu's message as the object that it is in Redis."""
    raw: dict[str, Any] = message._raw
    return raw


def queue_of(message: Any) -> str:
    """Name the queue that it came through."""
    return str(message.delivery_info.get("routing_key") or "")


@contextmanager
def client_of(message: Any) -> Iterator[Redis]:
    """Give a client of the Redis that it came from."""
    with message.channel.conn_or_acquire() as client:
        yield client


def held_as(client: Redis, message: Any) -> Held | None:
    """Give the message as this process holds it in Redis; None when others were given it."""
    return next(iter(look_up(client, message.channel.lease.holder, [message.delivery_tag])), None)


def put_back(client: Redis, message: Any, wait_seconds: float) -> None:
    """Put it back where it is taken next, to run again after a time; acknowledge it here afterwards."""
    channel, delivery = message.channel, message.delivery_info
    raw = raw_of(message)
    (queue,) = channel._lookup(delivery["exchange"], delivery["routing_key"])
    waiting = channel._q_for_pri(queue, channel._get_message_priority(raw))
    again = json.dumps(_redelivered(client, raw, wait_seconds))
    # Only who still holds the message puts it back: it may have been taken for lost meanwhile.
    keys = (UNACKED, UNACKED_INDEX, held_key(channel.lease.holder), waiting)
    GIVE_UP(client, keys, message.delivery_tag, "RPUSH", again)


def _redelivered(client: Redis, message: dict[str, Any], wait_seconds: float) -> dict[str, Any]:
    """Give the message as kombu marks one that comes again, for a time from now."""
    headers, properties = message["headers"] | {"redelivered": True}, message["properties"]
    if wait_seconds and "task" in headers:
        eta, pause = after(client, wait_seconds)
        headers |= {"eta": eta.isoformat()} | pause
    delivery_info = properties["delivery_info"] | {"redelivered": True}
    # By its old tag, the acknowledgement that is still to come would remove whoever holds it next.
    delivery = {"delivery_info": delivery_info, "delivery_tag": str(uuid4())}
    return message | {"headers": headers, "properties": properties | delivery}
