"""Deleting due rows batch after batch, each sized by how long the last took, so that none is long."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

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

TARGET_SECONDS = 0.25
"""What a batch is to take: a disk or a neighbour four times slower than before still keeps it under 1 s."""

LARGEST_STEP = 2.0
DEEPEST_CUT = 0.25

DEPENDANTS_FACTOR = 2
"""A sweep is given up where its rows have so many times its weight of dependants: unlike those before."""


@dataclass(slots=True)
class BatchTuner:
    """Learns from the times of batches what the next one may weigh.

    `weight` starts small, at most doubles from batch to batch, and falls to a quarter at once.
    `root_weight` is what a row of the rule's table weighed lately, with all its dependants. Rows that others
    have locked are tried again after a pause: most writers of the API are gone by then.
    """

    weight: int = 500
    lowest_weight: int = 10
    highest_weight: int = 10_000
    pause_seconds: float = 1.0
    root_weight: float = 1.0

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
        self.weight = round(min(max(wanted, self.lowest_weight), self.highest_weight))


@dataclass
class BatchPruner:
    """Deletes batch after batch, each in a transaction of its own, the oldest rows first.

    A batch is swept: one statement deletes it with its dependants. Where that meets somebody else's work, or
    too much for one transaction, the same rows are locked from the top down and deleted from the bottom up.
    Nobody can add a dependant to a locked row, rows that others have locked are skipped, and a row goes only
    when it has no dependants any more: so no batch fails or waits for long because of somebody else's work,
    and a row with many dependants takes several. With an archiver, rows are archived before they go, and all
    go that way.
    """

    open_session: Callable[[], AbstractContextManager[Session]]
    due: DueRows
    watch: PruneWatch
    archiver: Archiver | None
    tuner: BatchTuner
    deleted: Counter[str] = field(default_factory=Counter)
    size_bytes: int = 0
    stopped: bool = False

    def run(self) -> int:
        """Delete until nothing due remains, or what remains stays in use; give the number of these rows.

        Rows the archiver refused are none of them.
        """
        for number in range(PASSES):
            if number:
                time.sleep(self.tuner.pause_seconds)
            self._pass_over() if self.archiver is None else self._archive_and_pass_over(self.archiver)
            if self.stopped:
                return 0
            in_use = self._count_due() - (len(self.archiver.refused) if self.archiver else 0)
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
        limit, dependants_limit = self.tuner.roots, self.tuner.weight * DEPENDANTS_FACTOR
        with raising_conflicts(), self.open_session() as session:
            last, deleted = sweep(session, self.due, after, limit, dependants_limit)
        if last is not None:
            self._end_batch(deleted, started)
        return last

    def _lock_and_delete(self, after: RowKey | None) -> RowKey | None:
        """Delete of the next rows what others have not locked; give the last one seen, None without any."""
        last: RowKey | None = None
        while not self.stopped:
            started = time.monotonic()
            with self.open_session() as session:
                locker = RowLocker(session, self.due, self.tuner.weight)
                roots, last = locker.lock_next(after, self.tuner.roots)
                if last is None:
                    return None
                deleted = self._delete(locker, self._lock_dependants(locker, roots))
            rows = self._end_batch(deleted, started)
            # What went in part is taken again at once, until nothing more of it goes.
            if not rows or deleted[self.due.root].rows == roots.rows:
                break
        return last

    def _archive_and_pass_over(self, archiver: Archiver) -> None:
        after: RowKey | None = None
        while not self.stopped:
            with self.open_session() as session:
                chosen = self.due.choose(session, after, self.tuner.roots)
            if not chosen:
                return
            after = chosen[-1]
            archived = archiver.archive([key.id for key in chosen])
            with self.open_session() as session:
                allow_counting(session)
                unchanged = archiver.find_unchanged(session, archived)
            # In as many transactions as they take.
            while unchanged and self._delete_unchanged(archiver, unchanged) and not self.stopped:
                pass
            self.stopped = self.watch.should_stop()

    def _delete_unchanged(self, archiver: Archiver, root_ids: Collection[UUID]) -> int:
        started = time.monotonic()
        with self.open_session() as session:
            locker = RowLocker(session, self.due, self.tuner.weight)
            locked = self._lock_dependants(locker, locker.lock_some(root_ids))
            # Only what is about to go is looked at: all dependants may be a thousand times as many.
            if archiver.has_changed(session, {table.name: rows.places for table, rows in locked.items()}):
                unchanged = archiver.find_unchanged(session, root_ids)
                locked = self._lock_dependants(locker, locker.lock_some(unchanged))
            deleted = self._delete(locker, locked)
        return self._end_batch(deleted, started)

    def _lock_dependants(self, locker: RowLocker, roots: LockedRows) -> dict[Table, LockedRows]:
        locked = {self.due.root: roots}
        for table in self.due.tables[1:]:
            locked[table] = locker.lock_dependants(table, locked)
        return locked

    def _delete(self, locker: RowLocker, locked: Mapping[Table, LockedRows]) -> dict[Table, Deleted]:
        deleted: dict[Table, Deleted] = {}
        for table in reversed(self.due.tables):
            children = self.due.children(table)
            have_dependants = any(deleted[child].rows < locked[child].found for child in children)
            deleted[table] = locker.delete(table, locked[table], have_dependants=have_dependants)
        return deleted

    def _end_batch(self, deleted: Mapping[Table, Deleted], started: float) -> int:
        """Count what one transaction deleted and learn from it; give the rows of all tables."""
        rows = sum(one.rows for one in deleted.values())
        size_bytes = sum(one.size_bytes for one in deleted.values())
        weight = rows + size_bytes / BYTES_PER_WEIGHT
        self.tuner.learn(deleted[self.due.root].rows, weight, time.monotonic() - started)
        self.deleted.update({table.name: one.rows for table, one in deleted.items()})
        self.size_bytes += size_bytes
        self.watch.end_batch(self.deleted.total())
        self.stopped = self.watch.should_stop()
        return rows

    def _count_due(self) -> int:
        with self.open_session() as session:
            allow_counting(session)
            root = self.due.select_all(self.due.root).subquery()
            return session.scalar(select(func.count()).select_from(root)) or 0


def allow_counting(session: Session) -> None:
    """Let the statements of this transaction run for as long as counting may take."""
    session.execute(select(func.set_config("statement_timeout", f"{COUNT_TIMEOUT_SECONDS}s", True)))
