"""Deleting due rows batch after batch, each sized by how long the last took, so that none is long."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import func, select

from ibutsu_tasks.operations.prune.locking import BYTES_PER_WEIGHT, Deleted, LockedRows, RowLocker
from ibutsu_tasks.operations.prune.sweep import SweepConflictError, raising_conflicts, sweep

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from contextlib import AbstractContextManager
    from uuid import UUID

    from sqlalchemy import Table
    from sqlalchemy.orm import Session

    from ibutsu_tasks.operations.archives.archiver import Archiver
    from ibutsu_tasks.operations.prune.due import DueRows, RowKey
    from ibutsu_tasks.operations.prune.watch import PruneWatch

COUNT_TIMEOUT_SECONDS = 300
"""Counting reads every due row, or all dependants of some; it changes nothing and holds no row's lock."""

PASSES = 4
PAUSE_SECONDS = 1
"""Rows that others have locked are tried again after a pause: most writers of the API are gone by then."""

TARGET_SECONDS = 0.25
"""What a batch is to take: a disk or a neighbour four times slower than before still keeps it under 1 s."""

START_WEIGHT = 500
LOWEST_WEIGHT = 10
HIGHEST_WEIGHT = 10_000

LARGEST_STEP = 2.0
DEEPEST_CUT = 0.25

DEPENDANTS_FACTOR = 2
"""A sweep is given up where its rows have so many times its weight of dependants: unlike those before."""


class BatchTuner:
    """Learns from the times of batches what the next one may weigh.

    `weight` starts small, at most doubles from batch to batch, and falls to a quarter at once.
    `root_weight` is what a row of the rule's table weighed lately, with all its dependants.
    """

    def __init__(self) -> None:
        self.weight = START_WEIGHT
        self.root_weight = 1.0

    @property
    def roots(self) -> int:
        """The number of rows of the rule's table to choose next."""
        return max(1, int(self.weight / self.root_weight))

    def learn(self, roots: int, weight: float, seconds: float) -> None:
        """Learn from a batch that deleted `roots` of the rule's table, weighed `weight`, took `seconds`."""
        if weight:
            self.root_weight = max(1.0, weight / max(1, roots))
        factor = TARGET_SECONDS / max(seconds, 0.001)
        # What a batch far from full says of time is mostly its fixed part: no reason to grow.
        if factor > 1 and weight < self.weight / 2:
            return
        wanted = self.weight * min(max(factor, DEEPEST_CUT), LARGEST_STEP)
        self.weight = round(min(max(wanted, LOWEST_WEIGHT), HIGHEST_WEIGHT))


class Batch(NamedTuple):
    """What came of one transaction: rows of the rule's table that it locked, and what it deleted."""

    roots: int
    deleted: Mapping[Table, Deleted]

    @property
    def rows(self) -> int:
        """Rows of all tables that were deleted."""
        return sum(one.rows for one in self.deleted.values())

    @property
    def size_bytes(self) -> int:
        """What these rows held as it was stored."""
        return sum(one.size_bytes for one in self.deleted.values())


class BatchPruner:
    """Deletes batch after batch, each in a transaction of its own, the oldest rows first.

    A batch is swept: one statement deletes it with its dependants. Where that meets somebody else's work, or
    too much for one transaction, the same rows are locked from the top down and deleted from the bottom up.
    Nobody can add a dependant to a locked row, rows that others have locked are skipped, and a row goes only
    when it has no dependants any more: so no batch fails or waits for long because of somebody else's work,
    and a row with many dependants takes several. With an archiver, rows are archived before they go, and all
    go that way.
    """

    def __init__(
        self,
        open_session: Callable[[], AbstractContextManager[Session]],
        due: DueRows,
        watch: PruneWatch,
        archiver: Archiver | None = None,
    ) -> None:
        self._open_session = open_session
        self._watch = watch
        self._archiver = archiver
        self._tuner = BatchTuner()
        self.due = due
        self.deleted: Counter[str] = Counter()
        self.size_bytes = 0
        self.stopped = False

    def run(self) -> int:
        """Delete until nothing due remains, or what remains stays in use; give the number of these rows.

        Rows the archiver refused are none of them.
        """
        for number in range(PASSES):
            if number:
                time.sleep(PAUSE_SECONDS)
            self._pass_over() if self._archiver is None else self._archive_and_pass_over(self._archiver)
            if self.stopped:
                return 0
            in_use = self._count_due() - (self._archiver.refused if self._archiver else 0)
            if in_use <= 0:
                return 0
        return in_use

    def _pass_over(self) -> None:
        after: RowKey | None = None
        while not self.stopped:
            try:
                after = self._sweep(after)
            except SweepConflictError:
                after = self._lock_and_delete(after)
            if after is None:
                return

    def _sweep(self, after: RowKey | None) -> RowKey | None:
        """Delete the next rows and all their dependants; give the last one, None when there is none."""
        started = time.monotonic()
        limit, dependants_limit = self._tuner.roots, self._tuner.weight * DEPENDANTS_FACTOR
        with raising_conflicts(), self._open_session() as session:
            last, deleted = sweep(session, self.due, after, limit, dependants_limit)
        if last is not None:
            self._end_batch(Batch(deleted[self.due.root].rows, deleted), time.monotonic() - started)
        return last

    def _lock_and_delete(self, after: RowKey | None) -> RowKey | None:
        """Delete of the next rows what others have not locked; give the last one seen, None without any."""
        last: RowKey | None = None
        while not self.stopped:
            started = time.monotonic()
            with self._open_session() as session:
                locker = RowLocker(session, self.due, self._tuner.weight)
                roots, last = locker.lock_next(after, self._tuner.roots)
                if last is None:
                    return None
                batch = self._delete(locker, self._lock_dependants(locker, roots))
            self._end_batch(batch, time.monotonic() - started)
            # What went in part is taken again at once, until nothing more of it goes.
            if not batch.rows or batch.deleted[self.due.root].rows == batch.roots:
                break
        return last

    def _archive_and_pass_over(self, archiver: Archiver) -> None:
        after: RowKey | None = None
        while not self.stopped:
            with self._open_session() as session:
                chosen = self.due.choose(session, after, self._tuner.roots)
            if not chosen:
                return
            after = chosen[-1]
            archived = archiver.archive([key.id for key in chosen])
            with self._open_session() as session:
                set_statement_timeout(session, COUNT_TIMEOUT_SECONDS)
                unchanged = archiver.find_unchanged(session, archived)
            self._delete_archived(archiver, unchanged)
            self.stopped = self._watch.should_stop()

    def _delete_archived(self, archiver: Archiver, root_ids: Collection[UUID]) -> None:
        """Delete these rows, in as many transactions as they take."""
        while root_ids and self._delete_unchanged(archiver, root_ids).rows and not self.stopped:
            pass

    def _delete_unchanged(self, archiver: Archiver, root_ids: Collection[UUID]) -> Batch:
        started = time.monotonic()
        with self._open_session() as session:
            locker = RowLocker(session, self.due, self._tuner.weight)
            locked = self._lock_dependants(locker, locker.lock_some(root_ids))
            # Only what is about to go is looked at: all dependants may be a thousand times as many.
            if archiver.has_changed(session, {table.name: rows.places for table, rows in locked.items()}):
                unchanged = archiver.find_unchanged(session, root_ids)
                locked = self._lock_dependants(locker, locker.lock_some(unchanged))
            batch = self._delete(locker, locked)
        self._end_batch(batch, time.monotonic() - started)
        return batch

    def _lock_dependants(self, locker: RowLocker, roots: LockedRows) -> dict[Table, LockedRows]:
        locked = {self.due.root: roots}
        for table in self.due.tables[1:]:
            locked[table] = locker.lock_dependants(table, locked)
        return locked

    def _delete(self, locker: RowLocker, locked: Mapping[Table, LockedRows]) -> Batch:
        deleted: dict[Table, Deleted] = {}
        for table in reversed(self.due.tables):
            children = self.due.children(table)
            have_dependants = any(deleted[child].rows < locked[child].found for child in children)
            deleted[table] = locker.delete(table, locked[table], have_dependants=have_dependants)
        return Batch(locked[self.due.root].rows, deleted)

    def _end_batch(self, batch: Batch, seconds: float) -> None:
        weight = batch.rows + batch.size_bytes / BYTES_PER_WEIGHT
        self._tuner.learn(batch.deleted[self.due.root].rows, weight, seconds)
        self.deleted.update({table.name: one.rows for table, one in batch.deleted.items()})
        self.size_bytes += batch.size_bytes
        self._watch.end_batch(self.deleted.total())
        self.stopped = self._watch.should_stop()

    def _count_due(self) -> int:
        with self._open_session() as session:
            set_statement_timeout(session, COUNT_TIMEOUT_SECONDS)
            root = self.due.select_all(self.due.root).subquery()
            return session.scalar(select(func.count()).select_from(root)) or 0


def set_statement_timeout(session: Session, seconds: int) -> None:
    """Limit how long one statement of this transaction runs."""
    session.execute(select(func.set_config("statement_timeout", f"{seconds}s", True)))
