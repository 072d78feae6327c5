"""Keys of another type than Celery or we keep there, which some other client of the Redis wrote."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from uuid import uuid4

from ibutsu_tasks.broker import layout

if TYPE_CHECKING:
    from collections.abc import Iterable

    from redis import Redis
    from redis.exceptions import ResponseError

HASH, LIST, SET, SORTED_SET, STRING = "hash", "list", "set", "zset", "string"

WRONG_TYPE = "WRONGTYPE"
"""The first word of a server's answer about such a key."""

TYPES = {
    layout.UNACKED: HASH,
    layout.UNACKED_INDEX: SORTED_SET,
    layout.HOLDERS: SORTED_SET,
    layout.QUARANTINE: HASH,
    layout.REVOKED: SORTED_SET,
    layout.UNWRITTEN: HASH,
    layout.GAVE_UP: HASH,
    layout.GAVE_UP_LOCK: STRING,
    layout.REQUEUE_LOCK.format("imports"): STRING,
    layout.LAST_RECONCILIATION.format("imports"): STRING,
    layout.BEAT_LEADER_KEY: STRING,
    layout.BEAT_FENCE_KEY: STRING,
    layout.BEAT_STANDBYS_KEY: SORTED_SET,
    layout.BEAT_LAST_RUNS_KEY: HASH,
    layout.BEAT_KNOWN_SINCE_KEY: HASH,
    layout.PRUNE_ORDER_KEY: LIST,
    layout.PRUNE_RECORDS_KEY: HASH,
    layout.PRUNE_SUCCESSES_KEY: HASH,
    layout.TOTALS: HASH,
    layout.CONTROL_BINDINGS: SET,
}
"""The type of each key with a name of its own, in Redis' words; queues and their bindings have others."""


class GarbledKey(NamedTuple):
    """A key, the type it has and the type it should have."""

    key: str
    found: str
    wanted: str

    def __str__(self) -> str:
        return f"the key {self.key} is a {self.found}, and should be a {self.wanted}"


def find_garbled(client: Redis, queues: Iterable[str] = ()) -> list[GarbledKey]:
    """Look at every such key, and at those of `queues`.

    What this user may not look at is left out. Raises what the client raises.
    """
    types = dict(TYPES)
    for queue in dict.fromkeys(queues):
        types |= dict.fromkeys(layout.redis_lists(queue), LIST)
        types[f"{layout.BINDING_PREFIX}{queue}"] = SET
    pipeline = client.pipeline(transaction=False)
    for key in types:
        pipeline.type(key)
    answers = pipeline.execute(raise_on_error=False)
    found = {
        key: answer.decode() for key, answer in zip(types, answers, strict=True) if isinstance(answer, bytes)
    }
    return [
        GarbledKey(key, kind, types[key]) for key, kind in found.items() if kind not in {types[key], "none"}
    ]


def explain(client: Redis, error: ResponseError, queues: Iterable[str]) -> str:
    """Say what the server refused, with the keys, which it does not name. Raises as `find_garbled`."""
    text = str(error).rstrip(".")
    found = find_garbled(client, queues) if text.startswith(WRONG_TYPE) else []
    return "; ".join(map(str, found)) or text


def move_aside(client: Redis, garbled: GarbledKey) -> str:
    """Rename a key, so that its place is free; give its new name."""
    name = f"{garbled.key}:garbled-{uuid4().hex[:8]}"
    client.rename(garbled.key, name)
    return name
