"""What Redis knows of beat: who leads, who stands by, and when each entry last ran."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from redis.exceptions import ResponseError

from ibutsu_tasks.beat.leader import LEASE_SECONDS
from ibutsu_tasks.broker.layout import (
    BEAT_KNOWN_SINCE_KEY,
    BEAT_LAST_RUNS_KEY,
    BEAT_LEADER_KEY,
    BEAT_STANDBYS_KEY,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from redis import Redis

LONGEST_PERIOD = timedelta(days=366)
"""No entry is sent more seldom; one that ran longer ago is due all the same."""

TOLERATED_SKEW = timedelta(hours=1)
"""By which Redis' clock may go back, as when another server takes over. Later times are garbage."""


@dataclass(frozen=True, slots=True)
class Beat:
    """One beat process."""

    host: str
    pid: int

    def __str__(self) -> str:
        return f"{self.host} (process {self.pid})"


@dataclass(frozen=True, slots=True)
class Leader(Beat):
    """The beat that leads. `since` and `seen_seconds` are by Redis' clock, `skew_seconds` is its own's."""

    fence: int
    since: datetime
    skew_seconds: float
    seen_seconds: float


@dataclass(frozen=True, slots=True)
class Runs:
    """When each entry last ran, by Redis' clock; `written` has the bytes as they are there."""

    now: datetime
    written: Mapping[bytes, bytes] = field(default_factory=dict)
    last: Mapping[str, datetime] = field(default_factory=dict)
    known_since: Mapping[str, datetime] = field(default_factory=dict)

    def base(self, entry: str) -> datetime | None:
        """Give when an entry last ran, or since when it is waited for."""
        return self.last.get(entry) or self.known_since.get(entry)


@dataclass(frozen=True, slots=True)
class BeatState:
    """All of it."""

    runs: Runs
    leader: Leader | None
    standbys: tuple[Beat, ...]


def read_runs(client: Redis) -> Runs:
    """Read when each entry last ran. Raises what the client raises."""
    pipeline: Any = client.pipeline(transaction=False)
    pipeline.time().hgetall(BEAT_LAST_RUNS_KEY).hgetall(BEAT_KNOWN_SINCE_KEY)
    return _runs(pipeline.execute(raise_on_error=False))


def read_state(client: Redis) -> BeatState:
    """Read who leads, who stands by and what ran when. Raises what the client raises."""
    pipeline: Any = client.pipeline(transaction=False)
    pipeline.time().hgetall(BEAT_LAST_RUNS_KEY).hgetall(BEAT_KNOWN_SINCE_KEY)
    pipeline.get(BEAT_LEADER_KEY).pttl(BEAT_LEADER_KEY)
    pipeline.zrange(BEAT_STANDBYS_KEY, 0, -1, withscores=True)
    *first, note, left_ms, standbys = pipeline.execute(raise_on_error=False)
    runs = _runs(first)
    alive = [member for member, until in _sound(standbys, []) if until > runs.now.timestamp()]
    beats = [beat for member in alive if (beat := _read_beat(member))]
    return BeatState(runs, read_leader(_sound(note, None), left_ms), tuple(sorted(beats, key=str)))


def read_leader(note: bytes | str | None, left_ms: int) -> Leader | None:
    """Read the lease of a leader, `left_ms` before its end; None for anything else, or one without end."""
    beat = _read_beat(note)
    if beat is None or left_ms < 0:
        return None
    try:
        fields = json.loads(note or b"")
        since, clock, fence = float(fields["since"]), float(fields["time"]), int(fields["fence"])
        moment = datetime.fromtimestamp(since, UTC)
    except (ValueError, TypeError, LookupError, OverflowError, OSError):
        return None
    seen_seconds = max(LEASE_SECONDS - left_ms / 1000, 0)
    return Leader(beat.host, beat.pid, fence, moment, clock - since, seen_seconds)


def read_last_run(written: bytes, now: datetime) -> datetime | None:
    """Read when an entry last ran, from what any client of Redis may have written; None for no such time.

    A time to come would keep the entry from being sent until then: it counts as now, or as none.
    """
    try:
        moment = datetime.fromisoformat(written.decode())
        moment = moment.replace(tzinfo=moment.tzinfo or UTC)
        if moment > now + TOLERATED_SKEW:
            return None
        return min(max(moment, now - LONGEST_PERIOD), now).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _runs(answers: list[Any]) -> Runs:
    (seconds, microseconds), written, known_since = (_sound(answer, {}) for answer in answers)
    now = datetime.fromtimestamp(seconds, UTC) + timedelta(microseconds=microseconds)
    return Runs(now, written, _moments(written, now), _moments(known_since, now))


def _moments(written: Mapping[bytes, bytes], now: datetime) -> dict[str, datetime]:
    moments = {name.decode(errors="replace"): read_last_run(text, now) for name, text in written.items()}
    return {name: moment for name, moment in moments.items() if moment}


def _sound(answer: Any, otherwise: Any) -> Any:
    """Give an answer; `otherwise` for a key of another type, which some other client wrote."""
    if isinstance(answer, ResponseError) and "WRONGTYPE" in str(answer):
        return otherwise
    if isinstance(answer, Exception):
        raise answer
    return answer


def _read_beat(note: bytes | str | None) -> Beat | None:
    try:
        fields = json.loads(note or b"")
        return Beat(str(fields["host"]), int(fields["pid"]))
    except (ValueError, TypeError, LookupError, OverflowError, RecursionError):
        return None
