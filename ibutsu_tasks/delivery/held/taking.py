"""Taking a message off its list, and giving it up, each in one step of Redis' own.

Kombu pops a message into a socket (BRPOP) and writes down that it holds it afterwards: a worker that is
killed, frozen or cut off between the two loses the message. Here one script writes it down and pops it then;
and what a holder gives up, it gives up only while it is the one who holds it.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from redis.exceptions import NoScriptError

from ibutsu_tasks.broker.layout import HELD_PREFIX, SLOTS_PREFIX, UNACKED, UNACKED_INDEX
from ibutsu_tasks.wire_names import DEFAULT_QUEUE

if TYPE_CHECKING:
    from collections.abc import Iterable

    import redis


class Script:
    """A script in Redis' Lua, sent by its digest once the server knows it."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.digest = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()

    def __call__(
        self, client: redis.Redis, keys: Iterable[str | bytes], *arguments: str | bytes | float
    ) -> Any:
        """Run it. Raises what the client raises."""
        keys = tuple(keys)
        try:
            return client.evalsha(self.digest, len(keys), *keys, *arguments)
        except NoScriptError:
            return client.eval(self.text, len(keys), *keys, *arguments)


# Each script writes before it removes: a server out of memory refuses the first write, and undoes none.
NOW = """
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
"""

# KEYS: unacked, its index, holders, held of the holder, lists in the order of taking.
# ARGV: holder, seconds of the lease.
TAKE = Script(f"""
{NOW}
local function text(value, default) return type(value) == 'string' and value or default end
local function table_of(value) return type(value) == 'table' and value or {{}} end
-- Without a lease, or with one that is over, what is taken might be nobody's.
if tonumber(redis.call('ZSCORE', KEYS[3], ARGV[1]) or 0) < now then return false end
for i = 5, #KEYS do
  local raw = redis.call('LINDEX', KEYS[i], -1)
  if raw then
    local is_json, message = pcall(cjson.decode, raw)
    local properties = table_of(table_of(is_json and message).properties)
    local delivery = table_of(properties.delivery_info)
    local tag = text(properties.delivery_tag, '')
    -- Nobody could name it again: Lua takes bytes for text that are none.
    if string.find(tag, '[^%w%p]') then tag = '' end
    -- What is no message has none; and a message in two queues has the same twice.
    if tag == '' or redis.call('HEXISTS', KEYS[1], tag) == 1 then
      tag = tag .. ':' .. redis.sha1hex(raw .. time[1] .. time[2])
    end
    local exchange, routing_key = text(delivery.exchange, ''), text(delivery.routing_key, KEYS[i])
    local entry = {{'[', raw, ', ', cjson.encode(exchange), ', ', cjson.encode(routing_key), ']'}}
    redis.call('HSET', KEYS[1], tag, table.concat(entry))
    redis.call('ZADD', KEYS[2], string.format('%.6f', now + tonumber(ARGV[2])), tag)
    -- Seven decimals tell it from what builds of before wrote: `_place` below.
    redis.call('HSET', KEYS[4], tag, string.format('%.7f ', now) .. KEYS[i])
    redis.call('RPOP', KEYS[i])
    return {{KEYS[i], raw, tag}}
  end
end
return false
""")

# KEYS: unacked, its index, held of the holder, a list. ARGV: tag; LPUSH, RPUSH or nothing; the item to push.
GIVE_UP = Script("""
if redis.call('HEXISTS', KEYS[3], ARGV[1]) == 0 then return 0 end
if ARGV[2] ~= '' then redis.call(ARGV[2], KEYS[4], ARGV[3]) end
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('HDEL', KEYS[3], ARGV[1])
return 1
""")


_NOTED_SLOTS = re.compile(rb"(?P<slots>\d+) (?P<list>.+)", re.DOTALL)


class Held(NamedTuple):
    """One message that a holder holds, as it lies in Redis."""

    tag: str
    since: float
    """Seconds since 1970, by Redis' clock."""
    slots: int
    """How many tasks its holder ran at a time, where a build of before noted it here; else 1."""
    place: bytes
    """The list it was taken from."""
    entry: bytes | None
    """Kombu's JSON `[message, exchange, routing key]`; None when somebody else has removed it."""
    visible_from: float
    """The score of kombu's index; 0 when it has none."""

    @property
    def delivery(self) -> str:
        """Tell this taking of the message from others: its tag may come again."""
        return f"{self.tag} {self.since}"

    def message(self) -> dict[str, Any] | None:
        """Give the message marked as delivered before; None when it is none."""
        try:
            message = json.loads(self.entry or b"")[0]
            message["headers"]["redelivered"] = True
            message["properties"]["delivery_info"]["redelivered"] = True
        except (ValueError, RecursionError, LookupError, TypeError):
            return None
        return cast("dict[str, Any]", message)

    def raw(self) -> bytes:
        """Give what was taken, also where it is no message: its entry ends in two texts of JSON."""
        parts = (self.entry or b"").removeprefix(b"[").rsplit(b", ", 2)
        return parts[0]


def held_key(holder: str) -> str:
    """Name the hash of what `holder` holds."""
    return HELD_PREFIX + holder


def slots_key(holder: str) -> str:
    """Name the string of how many tasks `holder` runs at a time."""
    return SLOTS_PREFIX + holder


def look_up(client: redis.Redis, holder: str, tags: list[str] | None = None) -> list[Held]:
    """Give what a holder holds, or those of `tags` among it."""
    places = _places(client, holder, tags)
    if not places:
        return []
    pipeline = client.pipeline(transaction=False)
    for tag in places:
        pipeline.hget(UNACKED, tag)
        pipeline.zscore(UNACKED_INDEX, tag)
    answers = pipeline.execute()
    return [
        Held(tag, *place, entry, score or 0.0)
        for (tag, place), entry, score in zip(places.items(), answers[::2], answers[1::2], strict=True)
    ]


def _places(client: redis.Redis, holder: str, tags: list[str] | None) -> dict[str, tuple[float, int, bytes]]:
    key = held_key(holder)
    found: dict[str, Any]
    if tags is None:
        held = client.hgetall(key).items()
        found = {cast("bytes", tag).decode("utf-8", "replace"): value for tag, value in held}
    else:
        found = dict(zip(tags, client.hmget(key, tags), strict=True)) if tags else {}
    return {tag: _place(value) for tag, value in found.items() if value is not None}


def _place(value: bytes) -> tuple[float, int, bytes]:
    try:
        since, rest = value.split(b" ", 1)
        taken = float(since)
    except ValueError:
        # Some other program wrote it; the message is as good as any.
        return 0.0, 1, DEFAULT_QUEUE.encode()
    # Builds of before wrote six decimals, and some of them the slots before the list.
    if since[-7:-6] == b"." and (noted := _NOTED_SLOTS.fullmatch(rest)):
        return taken, int(noted["slots"]), noted["list"]
    return taken, 1, rest


def give_up(client: redis.Redis, holder: str, tag: str) -> bool:
    """Remove a message that is done; False when `holder` does not hold it any more."""
    return bool(GIVE_UP(client, (UNACKED, UNACKED_INDEX, held_key(holder)), tag, ""))


def put_back(client: redis.Redis, holder: str, held: Held, *, at_far_end: bool = False) -> bool:
    """Put a message back on its list, at the end that is consumed first; False when it is held no more."""
    if held.entry is None:
        return give_up(client, holder, held.tag)
    message = held.message()
    item = held.raw() if message is None else json.dumps(message).encode()
    keys = (UNACKED, UNACKED_INDEX, held_key(holder), held.place)
    push = "LPUSH" if at_far_end else "RPUSH"
    return bool(GIVE_UP(client, keys, held.tag, push, item))
