"""A record of every prune, whoever started it. It lies in Redis, for the tables are the API server's.

The list `ibutsu-tasks:prune-history` holds the ids of the last 1,000 prunes, newest first, and the hash
`ibutsu-tasks:prune-records` the record of each as JSON. A record is written before the first row goes,
renewed while rows go and completed at the end, so that a killed prune leaves one without an end. When
Redis cannot be reached the prune runs all the same, and one sentence says that no record is kept.
"""

from __future__ import annotations

import json
import math
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from redis.exceptions import RedisError

from ibutsu_tasks.clock import iso_utc, utc_now
from ibutsu_tasks.errors import BusyError, IbutsuTasksError
from ibutsu_tasks.settings.masking import mask_url_passwords

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from redis import Redis

    from ibutsu_tasks.operations.prune.run_prune import PruneSummary

ORDER_KEY = "ibutsu-tasks:prune-history"
RECORDS_KEY = "ibutsu-tasks:prune-records"
KEPT_RECORDS = 1000
SIGN_OF_LIFE_SECONDS = 5.0
STOPPED = "It was asked to end."

SILENCE_SECONDS = 900
"""A prune shows a sign of life every few seconds while it deletes; its longest statements take minutes."""

_MOMENTS = ("started", "seen", "ended", "cutoff")


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
        moments = {name: iso_utc(values[name], "milliseconds") for name in _MOMENTS}
        return values | moments | {"state": state, "seconds": round(self.seconds, 3)}


@dataclass(frozen=True, slots=True)
class Starter:
    """Who starts a prune: `command` or `task`, on which host or worker, and the task's id."""

    by: str
    where: str
    task_id: str | None = None


class PruneHistory:
    """The records of prunes. `connect` gives the client; `warn` takes a sentence when no record is kept."""

    def __init__(self, connect: Callable[[], Redis], warn: Callable[[str], None]) -> None:
        self._connect = connect
        self._warn = warn
        self._is_given_up = False

    @contextmanager
    def recorded(self, rule: str, age_days: int, starter: Starter) -> Iterator[Recording]:
        """Keep a record of the prune in the block, which gives the recording its progress and its summary."""
        recording = Recording(self, rule, age_days, starter)
        try:
            yield recording
        except BaseException as error:
            recording.fail(error)
            raise

    def begin(self, record: PruneRecord) -> None:
        """Write the record of a prune that begins; give up, also for the next ones, when Redis fails."""
        if not self._is_given_up and (reason := self._try_to_write(record)):
            self._is_given_up = True
            self._warn(f"No record of this prune is kept: {reason}.")

    def renew(self, record: PruneRecord) -> bool:
        """Write it again while it runs; say whether that worked."""
        return not (self._is_given_up or self._try_to_write(record))

    def complete(self, record: PruneRecord) -> None:
        """Write the end of it."""
        if not self._is_given_up and (reason := self._try_to_write(record)):
            self._warn(f"The end of this prune is not on record: {reason}.")

    def _try_to_write(self, record: PruneRecord) -> str | None:
        """Write it; give the reason when that fails."""
        try:
            self._write(self._connect(), record)
        except (RedisError, OSError, IbutsuTasksError) as error:
            return mask_url_passwords(" ".join(str(error).split())).rstrip(".") or type(error).__name__
        return None

    def _write(self, client: Redis, record: PruneRecord) -> None:
        is_new = client.hset(RECORDS_KEY, record.id, json.dumps(record.as_json()))
        if is_new:
            pipeline = client.pipeline()
            pipeline.lpush(ORDER_KEY, record.id)
            pipeline.lrange(ORDER_KEY, KEPT_RECORDS, -1)
            pipeline.ltrim(ORDER_KEY, 0, KEPT_RECORDS - 1)
            surplus = pipeline.execute()[1]
            if surplus:
                client.hdel(RECORDS_KEY, *surplus)


class Recording:
    """The record of a prune that runs."""

    def __init__(self, history: PruneHistory, rule: str, age_days: int, starter: Starter) -> None:
        self._history = history
        self._begun = time.monotonic()
        self._next_sign = self._begun + SIGN_OF_LIFE_SECONDS
        now = utc_now()
        self._record = PruneRecord(
            id=uuid4().hex,
            rule=rule,
            older_than_days=age_days,
            started=now,
            seen=now,
            by=starter.by,
            where=starter.where,
            task_id=starter.task_id,
        )
        history.begin(self._record)

    def on_progress(self, rows: int) -> None:
        """Note how many rows of all tables are gone; written down every few seconds."""
        self._record = replace(self._record, rows=rows)
        if time.monotonic() >= self._next_sign:
            record = self._record = replace(self._record, seen=utc_now(), seconds=self._seconds)
            # A silent Redis costs its time-out each time: the end of the prune is written all the same.
            works = self._history.renew(record)
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
            sentence=_sentence(summary),
        )
        ended_well = PruneState.STOPPED if summary.stopped else PruneState.DONE
        self._end(PruneState.SKIPPED if summary.skipped else ended_well)

    def fail(self, error: BaseException) -> None:
        """Complete the record of a prune that `error` ended, whatever it is."""
        if isinstance(error, IbutsuTasksError):
            sentence, state = str(error), PruneState.SKIPPED if isinstance(error, BusyError) else None
        elif isinstance(error, Exception):
            # A driver's own words may quote rows.
            sentence, state = f"It ended with {type(error).__name__}.", None
        else:
            sentence, state = STOPPED, PruneState.STOPPED
        self._record = replace(self._record, sentence=sentence)
        self._end(state or PruneState.FAILED)

    @property
    def _seconds(self) -> float:
        return time.monotonic() - self._begun

    def _end(self, state: PruneState) -> None:
        now = utc_now()
        self._history.complete(
            replace(self._record, written_state=state, seen=now, ended=now, seconds=self._seconds)
        )


def read_history(client: Redis, limit: int | None = None) -> list[PruneRecord]:
    """Give the records of the last prunes, newest first; of all that are kept without `limit`.

    Raises RedisError.
    """
    ids = client.lrange(ORDER_KEY, 0, (limit or KEPT_RECORDS) - 1)
    documents = client.hmget(RECORDS_KEY, ids) if ids else []
    records = [parse_record(document) for document in documents if document]
    return [record for record in records if record is not None]


def _sentence(summary: PruneSummary) -> str | None:
    if summary.stopped:
        return STOPPED
    if left := summary.left + summary.unarchived:
        return f"Due rows left, in use or for want of an archive: {left:,}."
    return summary.skipped


def parse_record(document: bytes | str) -> PruneRecord | None:
    """Read what `as_json` gave; None for what is no record of ours."""
    try:
        values = json.loads(document)
        return PruneRecord(
            id=str(values["id"]),
            rule=str(values["rule"]),
            older_than_days=int(values["older_than_days"]),
            started=_moment(values["started"]),
            seen=_moment(values["seen"]),
            by=str(values["by"]),
            where=str(values["where"]),
            task_id=_text(values["task_id"]),
            written_state=PruneState(values["state"]),
            ended=_moment(values["ended"]) if values["ended"] else None,
            cutoff=_moment(values["cutoff"]) if values["cutoff"] else None,
            rows=int(values["rows"]),
            deleted={str(table): int(rows) for table, rows in values["deleted"].items()},
            size_bytes=int(values["size_bytes"]),
            left=int(values["left"]),
            seconds=float(values["seconds"]),
            sentence=_text(values["sentence"]),
        )
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError):
        return None


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _moment(value: str) -> datetime:
    return datetime.fromisoformat(value).astimezone(UTC).replace(tzinfo=None)
