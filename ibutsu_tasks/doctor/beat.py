"""The check of beat: whether one leads."""

from __future__ import annotations

import json
import math
import time
from typing import TYPE_CHECKING

from redis.exceptions import RedisError

from ibutsu_tasks.broker.connection import build_client
from ibutsu_tasks.broker.layout import BEAT_LEADER_KEY
from ibutsu_tasks.doctor.report import Finding, finding, reason_of
from ibutsu_tasks.doctor.running import CALL_SECONDS

if TYPE_CHECKING:
    from ibutsu_tasks.settings import Settings

TOLERATED_SKEW_SECONDS = 60.0
"""Twice the life of the leader's note: an older one is the clock's fault, because Redis drops it itself."""


def check_beat(settings: Settings) -> list[Finding]:
    """Read the note the leading beat renews every few seconds."""
    try:
        with build_client(settings.require_broker(), CALL_SECONDS) as client:
            note = client.get(BEAT_LEADER_KEY)
    except (RedisError, OSError) as error:
        seen = f"The broker failed while beat was looked for: {reason_of(error, settings)}"
        return [finding("IBT-T19", seen, "Run `ibutsu-tasks doctor --only broker`.")]
    return [judge(note, time.time())]


def judge(note: bytes | str | None, now: float) -> Finding:
    """Give the finding about a leader's note; `now` is seconds since the epoch."""
    leader = _parse(note)
    if leader is None:
        return finding(
            "IBT-T01",
            "No beat leads: nothing is sent on schedule, old rows are not pruned.",
            "Start one with `ibutsu-tasks beat`.",
        )
    host, pid, moment = leader
    age = now - moment
    if abs(age) > TOLERATED_SKEW_SECONDS:
        return finding(
            "IBT-T02",
            f"Beat leads on {host} (process {pid}), and its clock differs from this one by {abs(age):.0f} s.",
            "Set both clocks, for example with `timedatectl set-ntp true`.",
        )
    return finding("IBT-T00", f"Beat leads on {host} (process {pid}), last seen {max(age, 0):.0f} s ago.")


def _parse(note: bytes | str | None) -> tuple[str, int, float] | None:
    try:
        leader = json.loads(note or b"")
        host, pid, moment = str(leader["host"]), int(leader["pid"]), float(leader["time"])
    except (ValueError, TypeError, LookupError, OverflowError, RecursionError):
        return None
    return (host, pid, moment) if math.isfinite(moment) else None
