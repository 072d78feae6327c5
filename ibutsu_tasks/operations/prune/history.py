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
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from uuid import uuid4

from redis.exceptions import RedisError

from ibutsu_tasks.clock import utc_now
from ibutsu_tasks.errors import BusyError, IbutsuTasksError
from ibutsu_tasks.operations.prune.record import PruneRecord, PruneState, parse_record
from ibutsu_tasks.settings.values import mask_passwords

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from redis import Redis

    from ibutsu_tasks.operations.prune.results import PruneSummary

ORDER_KEY = "ibutsu-tasks:prune-history"
RECORDS_KEY = "ibutsu-tasks:prune-records"
KEPT_RECORDS = 1000
SIGN_OF_LIFE_SECONDS = 5.0
STOPPED = "It was asked to end."


@dataclass(frozen=True, slots=True)
class Starter:
    """Who starts a prune: `command` or `task`, on which host or worker, the task's id, and if it archives."""

    by: str
    where: str
    task_id: str | None = None
    archives: bool = False


class PruneHistory:
    """The records of prunes. `connect` gives the client; `warn` is told when no record can be kept."""

    def __init__(self, connect: Callable[[], Redis], warn: Callable[[str], None]) -> None:
        self._connect = connect
        self._warn = warn
        self._is_given_up = False

    @contextmanager
    def recorded(self, rule: str, age_days: int, starter: Starter) -> Iterator[Recording]:
        """Keep a record of the prune in the block, which tells the recording its progress and its summary."""
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
            return mask_passwords(" ".join(str(error).split())).rstrip(".") or type(error).__name__
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
            archives=starter.archives,
        )
        history.begin(self._record)

    def on_progress(self, rows: int) -> None:
        """Note how many rows of all tables are gone; written down every few seconds."""
        self._record = replace(self._record, rows=rows)
        if time.monotonic() >= self._next_sign:
            record = self._record = replace(self._record, seen=utc_now(), seconds=self._seconds)
            # A silent Redis costs its time-out each time: the end of the prune is told all the same.
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
            left=summary.left,
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
    left = f"Due rows left, in use or for want of an archive: {summary.left:,}." if summary.left else None
    return summary.skipped or left
