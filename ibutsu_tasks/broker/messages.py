"""Which ids the messages in Redis name, in a queue or held by a consumer, and whether one is held.

A message that is delayed is held by the worker that waits for its time.
"""

from __future__ import annotations

import base64
import json
import re
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

from ibutsu_tasks.broker.layout import UNACKED, redis_lists

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from redis import Redis

MESSAGES_PER_READ = 500
"""A queue may be long: it is read in pieces, each of which keeps Redis busy for a moment only."""

_ID = re.compile(r"[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}", re.IGNORECASE)


def ids_in(text: str) -> set[UUID]:
    """Find every UUID in a text, with hyphens or without."""
    return {UUID(found) for found in _ID.findall(text)}


def waiting_ids(client: Redis, queues: Iterable[str]) -> set[UUID]:
    """Find the ids that messages waiting in `queues` name."""
    lists = (name for queue in queues for name in redis_lists(queue))
    return {one for name in lists for item in _items(client, name) for one in _ids_of_message(_read(item))}


def held_ids(client: Redis) -> set[UUID]:
    """Find the ids in messages that consumers hold: carried out, fetched ahead or delayed."""
    return {one for message in _held(client) for one in _ids_of_message(message)}


def is_held(client: Redis, task_id: str) -> bool:
    """Tell whether a consumer holds the message of a task."""
    messages = (message for message in _held(client) if isinstance(message, dict))
    return any((message.get("headers") or {}).get("id") == task_id for message in messages)


def _held(client: Redis) -> Iterator[Any]:
    for _, value in client.hscan_iter(UNACKED, count=MESSAGES_PER_READ):
        held = _read(value)
        yield held[0] if isinstance(held, list) and held else None


def _items(client: Redis, name: str) -> Iterator[bytes]:
    # Messages come in on the left and leave on the right: whoever reads from the left meets each that stays,
    # some twice.
    start = 0
    while items := cast("list[bytes]", client.lrange(name, start, start + MESSAGES_PER_READ - 1)):
        yield from items
        start += len(items)


def _read(text: bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _ids_of_message(message: Any) -> set[UUID]:
    """Find the ids in the arguments of a message; none in what is no message."""
    body = message.get("body") if isinstance(message, dict) else None
    if not isinstance(body, str):
        return set()
    properties = message.get("properties")
    if isinstance(properties, dict) and properties.get("body_encoding") == "base64":
        try:
            body = base64.b64decode(body).decode("utf-8", "replace")
        except ValueError:
            return set()
    return ids_in(body)
