"""What Redis tells of the fleet, in seven commands however much is waiting."""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ibutsu_tasks.beat.state import BeatState, read_state
from ibutsu_tasks.broker.layout import (
    HOLDERS,
    PRIORITY_STEPS,
    QUARANTINE,
    TOTALS,
    UNACKED,
    WORKER_PREFIX,
    declared_queues,
    redis_lists,
)
from ibutsu_tasks.delivery.held.taking import NOW, Script
from ibutsu_tasks.metrics.ages import WaitingSince
from ibutsu_tasks.text.storable import storable_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from redis import Redis

    from ibutsu_tasks.delivery.counts import Key

MOST_QUEUES = 50
LOOK_FOR_QUEUES_SECONDS = 300.0
"""A queue that nobody consumes is found by looking through all keys, which is no part of a scrape."""

# KEYS: unacked, quarantine, holders, totals, lists. ARGV: what stands before a holder in the key of
# its report. It writes nothing; its time follows the number of queues and workers. Of a message, its start
# will do to know it again.
LOOK = Script(f"""
{NOW}
local function ask(...)
  local answer = redis.pcall(...)
  if type(answer) == 'table' and answer.err then return nil end
  return answer
end
local depths, items, reports = {{}}, {{}}, {{}}
for i = 5, #KEYS do
  local depth = ask('LLEN', KEYS[i]) or 0
  local item = depth > 0 and ask('LINDEX', KEYS[i], -1) or ''
  depths[#depths + 1], items[#items + 1] = depth, string.sub(item, 1, 65536)
end
for _, holder in ipairs(ask('ZRANGEBYSCORE', KEYS[3], string.format('%.6f', now), '+inf') or {{}}) do
  reports[#reports + 1] = ask('GET', ARGV[1] .. holder) or ''
end
local held, dead = ask('HLEN', KEYS[1]) or 0, ask('HLEN', KEYS[2]) or 0
local totals = ask('HGETALL', KEYS[4]) or {{}}
return {{string.format('%.6f', now), depths, items, held, dead, reports, totals}}
""")


@dataclass(frozen=True, slots=True)
class WorkerReport:
    """What a worker of ours reports of itself."""

    slots: int
    busy: int
    queues: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BrokerNumbers:
    """What was read. Moments are seconds since 1970 by Redis' clock."""

    now: float
    depths: Mapping[tuple[str, int], int]
    """By queue and priority step, 0 being the highest."""
    waiting_since: Mapping[str, float]
    """Of the oldest message of a queue in which something is waiting."""
    held: int
    quarantined: int
    workers: tuple[WorkerReport, ...]
    totals: Mapping[Key, float]
    beat: BeatState


class BrokerReader:
    """Reads the numbers, of `queues` and of those that are found."""

    def __init__(self, client: Redis, queues: Iterable[str]) -> None:
        self._client = client
        self._named = dict.fromkeys(queues)
        self._declared: tuple[str, ...] = ()
        self._look_at = 0.0
        self._since = WaitingSince()

    def read(self) -> BrokerNumbers:
        """Read. Raises what the client raises."""
        if time.monotonic() >= self._look_at:
            self._declared = tuple(sorted(declared_queues(self._client)))
            self._look_at = time.monotonic() + LOOK_FOR_QUEUES_SECONDS
        queues = tuple(dict.fromkeys((*self._named, *self._declared)))[:MOST_QUEUES]
        lists = [name for queue in queues for name in redis_lists(queue)]
        keys = (UNACKED, QUARANTINE, HOLDERS, TOTALS, *lists)
        answer = LOOK(self._client, keys, WORKER_PREFIX)
        now, depths, items, held, dead, reports, totals = answer
        workers = tuple(_report(text) for text in reports)
        # A queue that a worker consumes is known from its next report on.
        self._named |= dict.fromkeys(queue for worker in workers for queue in worker.queues)
        places = [(queue, step) for queue in queues for step in PRIORITY_STEPS]
        return BrokerNumbers(
            now=float(now),
            depths=dict(zip(places, depths, strict=True)),
            waiting_since=self._waiting_since(zip(places, lists, items, strict=True), float(now)),
            held=held,
            quarantined=dead,
            workers=workers,
            totals=_totals(totals),
            beat=read_state(self._client),
        )

    def _waiting_since(
        self, nexts: Iterable[tuple[tuple[str, int], str, bytes]], now: float
    ) -> dict[str, float]:
        oldest: dict[str, float] = {}
        for (queue, _), name, item in nexts:
            if item:
                oldest[queue] = min(oldest.get(queue, now), self._since.of(name, item, now))
        return oldest


def _report(text: bytes) -> WorkerReport:
    try:
        said = json.loads(text)
        return WorkerReport(int(said["slots"]), int(said["busy"]), tuple(map(_label, said["queues"])))
    except (ValueError, TypeError, LookupError, OverflowError, RecursionError):
        # It has not reported yet, or is of a version that does not.
        return WorkerReport(0, 0, ())


def _totals(flat: list[bytes]) -> dict[Key, float]:
    totals: dict[Key, float] = {}
    for field, value in zip(flat[::2], flat[1::2], strict=True):
        try:
            key, number = tuple(map(_label, json.loads(field))), float(value)
        except (ValueError, TypeError, RecursionError):
            continue
        if math.isfinite(number):
            totals[key] = number
    return totals


def _label(value: object) -> str:
    """Give the value of a label; JSON may hold a lone surrogate, which no page can be encoded with."""
    return storable_text(str(value))
