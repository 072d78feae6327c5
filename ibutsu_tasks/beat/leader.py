"""The lease of the beat that leads, and the one step in which it sends."""

from __future__ import annotations

import json
import os
import socket
import time
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from ibutsu_tasks.broker.layout import (
    BEAT_FENCE_KEY,
    BEAT_KNOWN_SINCE_KEY,
    BEAT_LAST_RUNS_KEY,
    BEAT_LEADER_KEY,
    BEAT_STANDBYS_KEY,
)

if TYPE_CHECKING:
    from redis import Redis

LEASE_SECONDS = 10.0
"""How long a leader that says nothing more keeps the lead: a crash costs this and the pause of a standby."""

# What has another type, or never expires, is no lease: some other client wrote it.
_HOLD = """
local leader, fence, standbys = KEYS[1], KEYS[2], KEYS[3]
local own, lease_ms, me, clock = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local now = tonumber(redis.call('TIME')[1])
for i, kind in ipairs({'string', 'string', 'zset', 'hash', 'hash'}) do
  local found = redis.call('TYPE', KEYS[i]).ok
  if found ~= kind and found ~= 'none' then redis.call('DEL', KEYS[i]) end
end
if redis.call('PTTL', leader) == -1 then redis.call('DEL', leader) end
local holder = redis.call('GET', leader)
if holder and holder == own then
  redis.call('PEXPIRE', leader, lease_ms)
  return own
elseif holder then
  redis.call('ZADD', standbys, now + lease_ms / 1000, me)
  redis.call('ZREMRANGEBYSCORE', standbys, '-inf', now)
  return ''
end
local number = redis.pcall('INCR', fence)
if type(number) ~= 'number' then
  number = 1
  redis.call('SET', fence, number)
end
local note = cjson.decode(me)
note.fence, note.since, note.time = number, now, tonumber(clock)
own = cjson.encode(note)
redis.call('SET', leader, own, 'PX', lease_ms)
redis.call('ZREM', standbys, me)
return own
"""

# The message goes first: when it is refused (no memory, a key of another type), nothing is written down.
_SEND = """
local leader, last_runs, queue = KEYS[1], KEYS[2], KEYS[3]
local own, name, last_seen, now, message = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
if redis.call('GET', leader) ~= own then return 'not the leader' end
if (redis.call('HGET', last_runs, name) or '') ~= last_seen then return 'sent before' end
if message ~= '' then redis.call('LPUSH', queue, message) end
redis.call('HSET', last_runs, name, now)
return 'sent'
"""

_RELEASE = """
redis.call('ZREM', KEYS[2], ARGV[2])
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""


class Sent(StrEnum):
    """What came of sending an entry."""

    SENT = "sent"
    SENT_BEFORE = "sent before"
    NOT_THE_LEADER = "not the leader"


class LeaderLease:
    """The lead, as far as this process has it. Every call raises what the client raises."""

    def __init__(self, client: Redis) -> None:
        self._client: Any = client
        self._own = b""
        self._me = json.dumps({"host": socket.gethostname(), "pid": os.getpid()})

    @property
    def fence(self) -> int | None:
        """The number of this process's lead; None while another leads, as far as is known."""
        return int(json.loads(self._own)["fence"]) if self._own else None

    def try_hold(self) -> bool:
        """Take the lead if nobody has it, renew it if this process has; say whether it has."""
        arguments = (self._own, round(LEASE_SECONDS * 1000), self._me, round(time.time()))
        keys = (BEAT_LEADER_KEY, BEAT_FENCE_KEY, BEAT_STANDBYS_KEY, BEAT_LAST_RUNS_KEY, BEAT_KNOWN_SINCE_KEY)
        self._own = self._client.eval(_HOLD, len(keys), *keys, *arguments)
        return bool(self._own)

    def send(self, entry: str, last_seen: bytes, now: str, queue: str, message: str) -> Sent:
        """Put a message on a queue and write down `now` as the entry's last run, in one step.

        Only while this process leads, and `last_seen` still is what is written of the entry's last run
        (empty: nothing). So a pause before this step, or its answer that is lost, doubles nothing.
        """
        keys = (BEAT_LEADER_KEY, BEAT_LAST_RUNS_KEY, queue)
        answer = self._client.eval(_SEND, len(keys), *keys, self._own, entry, last_seen, now, message)
        return Sent(answer.decode())

    def write_down(self, entry: str, last_seen: bytes, moment: str) -> Sent:
        """Write down a last run that Redis has lost, under the same conditions."""
        return self.send(entry, last_seen, moment, queue="", message="")

    def release(self) -> None:
        """Give up the lead, or the place among those who stand by."""
        keys = (BEAT_LEADER_KEY, BEAT_STANDBYS_KEY)
        own, self._own = self._own, b""
        self._client.eval(_RELEASE, len(keys), *keys, own, self._me)
