"""Keys of another type than Celery or we keep there, which some other client of the Redis wrote."""

from __future__ import annotations

from contextlib import suppress
from shlex import quote
from typing import TYPE_CHECKING, NamedTuple
from uuid import uuid4

from redis.exceptions import RedisError

from ibutsu_tasks.broker import layout
from ibutsu_tasks.broker.layout import declared_queues
from ibutsu_tasks.packages import loaded
from ibutsu_tasks.text.control_characters import visible

if TYPE_CHECKING:
    from collections.abc import Iterable

    from redis import Redis

HASH, LIST, SET, SORTED_SET, STRING = "hash", "list", "set", "zset", "string"

WRONG_TYPE = "WRONGTYPE"
"""A word in a server's answer about such a key."""

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

    def remedy(self, database: int) -> str:
        """Say how to have its place free in the database of this number."""
        names = " ".join(map(_in_a_shell, (self.key, f"{self.key}:garbled")))
        return f"Move it out of the way: `redis-cli -n {database} RENAMENX {names}`."


def _in_a_shell(word: str) -> str:
    shown = visible(word)
    return quote(word) if shown == word else f"$'{shown}'"


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


def find_behind(error: BaseException, client: Redis, queues: Iterable[str] = ()) -> list[GarbledKey]:
    """Look for the keys behind a refusal, which does not name them; there are none behind any other error.

    `queues` are looked at beside those of the task packages and those that were declared. None is found
    where the server does not answer.
    """
    if WRONG_TYPE in str(error):
        with suppress(RedisError, OSError):
            return find_garbled(client, (*queues, *loaded().queues, *declared_queues(client)))
    return []


def explain(client: Redis, error: BaseException, queues: Iterable[str] = ()) -> str:
    """Say what the server refused, with the keys where `find_behind` finds any."""
    return "; ".join(map(str, find_behind(error, client, queues))) or str(error).rstrip(".")


def move_aside(client: Redis, garbled: GarbledKey) -> str:
    """Rename a key, so that its place is free; give its new name."""
    name = f"{garbled.key}:garbled-{uuid4().hex[:8]}"
    client.rename(garbled.key, name)
    return name
