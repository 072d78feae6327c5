"""A record of every prune, whoever started it. It lies in Redis, for the tables are the API server's.

A list holds the ids of the last 1,000 prunes, a hash the record of each as JSON, and another hash for each
rule the record of the last that ended well. A record is written before the first row goes, renewed while
rows go and completed at the end, so that a killed prune leaves one without an end. When Redis cannot be
reached the prune runs all the same, and one sentence says that no record is kept.
"""

from __future__ import annotations

import json
import math
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from redis.exceptions import RedisError

from ibutsu_tasks.broker.layout import PRUNE_ORDER_KEY, PRUNE_RECORDS_KEY, PRUNE_SUCCESSES_KEY
from ibutsu_tasks.clock import iso_utc, utc_now
from ibutsu_tasks.errors import BusyError, IbutsuTasksError
from ibutsu_tasks.settings.masking import mask_url_passwords

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from redis import Redis

    from ibutsu_tasks.retention.run_prune import PruneSummary

KEPT_RECORDS = 1000
SIGN_OF_LIFE_SECONDS = 5.0
STOPPED = "It was asked to end."

SILENCE_SECONDS = 900
"""A prune shows a sign of life every few seconds while it deletes; its longest statements take minutes."""

_MOMENTS = ("started", "seen", "ended", "cutoff")
_MAYBE = frozenset({"task_id", "ended", "cutoff", "sentence"})
_LARGEST = 2**63


class PruneState(StrEnum):
    """What became of a prune.

    `skipped` says that it was not tried: too young an age, or another prune was running. `stopped` is one
    that was asked to end and did, between two batches. `lost` is one that never said how it ended: its
    process was killed. It is never written, only seen.
    """

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"
    STOPPED = "stopped"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class PruneRecord:
    """One prune. Moments are naive UTC.

    `rows` of all tables are gone; `deleted` gives them by table once the prune has ended well. `left` are due
    rows in use or without an archive. `seen` is its last sign of life. `sentence` says why it failed, was
    skipped or stopped. `by` is `command` or `task`, `where` a host or the node name of a worker.
    """

    id: str
    rule: str
    older_than_days: int
    started: datetime
    seen: datetime
    by: str
    where: str
    task_id: str | None = None
    written_state: PruneState = PruneState.RUNNING
    ended: datetime | None = None
    cutoff: datetime | None = None
    rows: int = 0
    deleted: Mapping[str, int] = field(default_factory=dict)
    size_bytes: int = 0
    left: int = 0
    seconds: float = 0.0
    sentence: str | None = None

    def state(self, now: datetime) -> PruneState:
        """Say what became of it; a running one that is silent for long is lost."""
        is_silent = (now - self.seen).total_seconds() > SILENCE_SECONDS
        if self.written_state is PruneState.RUNNING and is_silent:
            return PruneState.LOST
        return self.written_state

    def as_json(self) -> dict[str, Any]:
        """Give the record as JSON values; moments are ISO 8601 in UTC."""
        values = asdict(self)
        state = str(values.pop("written_state"))
        return values | {name: iso_utc(values[name], "milliseconds") for name in _MOMENTS} | {"state": state}


@dataclass
class PruneHistory:
    """The records of the prunes that one command or task starts.

    `connect` gives the client; `warn` takes a sentence when no record is kept.
    """

    connect: Callable[[], Redis]
    warn: Callable[[str], None]
    by: str
    where: str
    task_id: str | None = None
    _is_given_up: bool = False

    @contextmanager
    def recorded(self, rule: str, age_days: int) -> Iterator[Recording]:
        """Keep a record of the prune in the block, which gives the recording its progress and its summary."""
        now = utc_now()
        who = (self.by, self.where, self.task_id)
        record = PruneRecord(uuid4().hex, rule, age_days, now, now, *who)
        recording = Recording(self, record)
        # When Redis fails now, nothing is tried for the next prunes either.
        self._is_given_up = not self.write(record, "No record of this prune is kept")
        try:
            yield recording
        except BaseException as error:
            recording.fail(error)
            raise

    def write(self, record: PruneRecord, failure: str | None = None) -> bool:
        """Write a record; say whether that worked. Warns of a `failure` of this name with the reason."""
        if self._is_given_up:
            return False
        try:
            _write(self.connect(), record)
        except (RedisError, OSError, IbutsuTasksError) as error:
            reason = mask_url_passwords(" ".join(str(error).split())).rstrip(".") or type(error).__name__
            if failure:
                self.warn(f"{failure}: {reason}.")
            return False
        return True


def _write(client: Redis, record: PruneRecord) -> None:
    document = json.dumps(record.as_json())
    is_new = client.hset(PRUNE_RECORDS_KEY, record.id, document)
    if record.written_state is PruneState.DONE:
        client.hset(PRUNE_SUCCESSES_KEY, record.rule, document)
    if is_new:
        pipeline = client.pipeline()
        pipeline.lpush(PRUNE_ORDER_KEY, record.id)
        pipeline.lrange(PRUNE_ORDER_KEY, KEPT_RECORDS, -1)
        pipeline.ltrim(PRUNE_ORDER_KEY, 0, KEPT_RECORDS - 1)
        surplus = pipeline.execute()[1]
        if surplus:
            client.hdel(PRUNE_RECORDS_KEY, *surplus)


class Recording:
    """The record of a prune that runs."""

    def __init__(self, history: PruneHistory, record: PruneRecord) -> None:
        self._history = history
        self._record = record
        self._begun = time.monotonic()
        self._next_sign = self._begun + SIGN_OF_LIFE_SECONDS

    def on_progress(self, rows: int) -> None:
        """Note how many rows of all tables are gone; written down every few seconds."""
        self._record = replace(self._record, rows=rows)
        if time.monotonic() >= self._next_sign:
            # A silent Redis costs its time-out each time: the end of the prune is written all the same.
            works = self._history.write(self._of_now())
            self._next_sign = time.monotonic() + SIGN_OF_LIFE_SECONDS if works else math.inf

    def end(self, summary: PruneSummary) -> None:
        """Complete the record of a prune that ended without an error."""
        self._record = replace(
            self._record,
            cutoff=summary.cutoff,
            rows=sum(summary.deleted.values()),
            deleted=dict(summary.deleted),
            size_bytes=summary.size_bytes,
            left=summary.left + summary.unarchived,
        )
        if summary.stopped:
            self._end(PruneState.STOPPED, STOPPED)
        elif summary.skipped:
            self._end(PruneState.SKIPPED, summary.skipped)
        elif left := self._record.left:
            self._end(PruneState.DONE, f"Due rows left, in use or for want of an archive: {left:,}.")
        else:
            self._end(PruneState.DONE)

    def fail(self, error: BaseException) -> None:
        """Complete the record of a prune that `error` ended, whatever it is."""
        if isinstance(error, IbutsuTasksError):
            self._end(PruneState.SKIPPED if isinstance(error, BusyError) else PruneState.FAILED, str(error))
        elif isinstance(error, Exception):
            # A driver's own words may quote rows.
            self._end(PruneState.FAILED, f"It ended with {type(error).__name__}.")
        else:
            self._end(PruneState.STOPPED, STOPPED)

    def _end(self, state: PruneState, sentence: str | None = None) -> None:
        record = self._of_now()
        ended = replace(record, written_state=state, ended=record.seen, sentence=sentence)
        self._history.write(ended, "The end of this prune is not on record")

    def _of_now(self) -> PruneRecord:
        return replace(self._record, seen=utc_now(), seconds=round(time.monotonic() - self._begun, 3))


def read_history(client: Redis) -> list[PruneRecord]:
    """Give the records of the prunes, newest first. Raises RedisError."""
    ids = client.lrange(PRUNE_ORDER_KEY, 0, KEPT_RECORDS - 1)
    documents = client.hmget(PRUNE_RECORDS_KEY, ids) if ids else []
    records = [parse_record(document) for document in documents if document]
    return [record for record in records if record is not None]


def parse_record(document: bytes | str) -> PruneRecord | None:
    """Read what `as_json` gave; None for what is none, such as a record with a value of another type."""
    try:
        values = json.loads(document)
        values |= {name: _moment(values[name]) for name in _MOMENTS}
        values["written_state"] = PruneState(values.pop("state"))
        known = {field.name: values[field.name] for field in fields(PruneRecord)}
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError):
        return None
    fits = all(_fits(value, name, _KINDS.get(name, str)) for name, value in known.items())
    return PruneRecord(**known) if fits else None


def _fits(value: object, name: str, kind: type) -> bool:
    if value is None:
        return name in _MAYBE
    if kind is dict:
        return isinstance(value, dict) and all(_fits(rows, "rows", int) for rows in value.values())
    if kind in {int, float}:
        is_number = isinstance(value, int | kind) and not isinstance(value, bool)
        return is_number and 0 <= value < _LARGEST  # type: ignore[operator]  # mypy does not follow
    return isinstance(value, kind)


def _moment(value: str | None) -> datetime | None:
    return None if value is None else datetime.fromisoformat(value).astimezone(UTC).replace(tzinfo=None)


_KINDS: Mapping[str, type] = {
    **dict.fromkeys(_MOMENTS, datetime),
    **dict.fromkeys(("older_than_days", "rows", "size_bytes", "left"), int),
    "seconds": float,
    "deleted": dict,
    "written_state": PruneState,
}
"""The types of a record's values that are not text."""
