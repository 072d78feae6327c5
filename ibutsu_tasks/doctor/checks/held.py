"""The check of held messages: who holds them, and what becomes of those whose worker is gone."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from redis.exceptions import RedisError

from ibutsu_tasks.broker.connection import build_client
from ibutsu_tasks.broker.layout import HELD_PREFIX, HOLDERS, UNACKED_INDEX
from ibutsu_tasks.doctor.report import Finding, finding, reason_of
from ibutsu_tasks.doctor.running import CALL_SECONDS

if TYPE_CHECKING:
    from redis import Redis

    from ibutsu_tasks.settings import Settings

VISIBILITY_SECONDS = 3600
"""Celery's own time-out, after which any worker gives back what another one holds."""

TOLERATED_SECONDS = 10.0
"""What living workers may be late in giving back what a dead one held."""


class Message(NamedTuple):
    """A message that somebody holds."""

    holder: str | None
    """None for a worker without a lease: a stock one."""
    since: float
    till: float
    """Until when the lease of its holder lasts, or, without one, from when it is given back."""


def check_held(settings: Settings) -> list[Finding]:
    """Look at what is held, and at the leases of who holds it."""
    try:
        with build_client(settings.require_broker(), CALL_SECONDS) as client:
            seconds, microseconds = client.time()
            scored: Any = client.zrange(HOLDERS, 0, -1, withscores=True)
            leases: dict[str, float] = {_text(name): till for name, till in scored}
            messages = _held(client, leases)
    except (RedisError, OSError) as error:
        seen = f"The broker failed while held messages were looked at: {reason_of(error, settings)}"
        return [finding("IBT-H19", seen, "Run `ibutsu-tasks doctor --only broker`.")]
    now = seconds + microseconds / 1e6
    return judge(messages, now, has_worker=any(till > now for till in leases.values()))


def judge(messages: list[Message], now: float, *, has_worker: bool) -> list[Finding]:
    """Give the findings about messages; `has_worker` says whether a lease lasts, `now` is Redis' clock."""
    late_by = TOLERATED_SECONDS if has_worker else 0.0
    stuck = [one for one in messages if one.till + late_by < now]
    found = []
    if dead := [one for one in stuck if one.holder is not None]:
        seen = f"{_count(dead)} held by workers that are gone: {_names(dead)}; the oldest {_age(dead, now)}."
        found.append(finding("IBT-H01", seen, "Start `ibutsu-tasks worker`: it gives them back at once."))
    if lone := [one for one in stuck if one.holder is None]:
        seen = f"{_count(lone)} held by a worker without a lease for more than an hour: it is gone."
        found.append(finding("IBT-H02", seen, "Start `ibutsu-tasks worker`: it gives them back in minutes."))
    return found or [finding("IBT-H00", _all_well(messages, now))]


def _all_well(messages: list[Message], now: float) -> str:
    if not messages:
        return "No message is held."
    parts = []
    if leased := [one for one in messages if one.holder is not None]:
        soon = [one for one in leased if one.till < now]
        parts.append(f"{_count(leased)} held by {_names(leased)}; the oldest {_age(leased, now)}")
        if soon:
            parts.append(f"of {_names(soon)}, which is gone, others are about to have them")
    if lone := [one for one in messages if one.holder is None]:
        minutes = (min(one.till for one in lone) - now) / 60
        parts.append(
            f"{_count(lone)} held by a worker without a lease; if it is gone, given back in {minutes:.0f} min"
        )
    return "; ".join(parts) + "."


def _held(client: Redis, leases: dict[str, float]) -> list[Message]:
    scored: Any = client.zrange(UNACKED_INDEX, 0, -1, withscores=True)
    index: dict[str, float] = {_text(tag): score for tag, score in scored}
    messages = []
    for holder, till in leases.items():
        for tag, value in client.hgetall(HELD_PREFIX + holder).items():
            index.pop(_text(tag), None)
            messages.append(Message(holder, _since(_text(value)), till))
    lone = [Message(None, score, score + VISIBILITY_SECONDS) for score in index.values()]
    return messages + lone


def _since(value: str) -> float:
    try:
        return float(value.partition(" ")[0])
    except ValueError:
        return math.inf  # some other program wrote it


def _names(messages: list[Message]) -> str:
    counts = Counter(str(one.holder).rpartition(":")[0] for one in messages)
    return ", ".join(f"{name} ({number})" for name, number in sorted(counts.items()))


def _age(messages: list[Message], now: float) -> str:
    return f"for {max(now - min(one.since for one in messages), 0):.0f} s"


def _count(messages: list[Message]) -> str:
    return "1 message is" if len(messages) == 1 else f"{len(messages)} messages are"


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
