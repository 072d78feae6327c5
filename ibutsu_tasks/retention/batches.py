"""Deleting due rows batch after batch, each sized by how long the last took, so that none is long."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from ibutsu_tasks.retention.sweep import (
    LONGEST_TIMEOUT,
    Sweep,
    SweepConflictError,
    Sweeper,
    nothing,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from contextlib import AbstractContextManager

    from sqlalchemy import Table
    from sqlalchemy.orm import Session

    from ibutsu_tasks.retention.archiving import Archiver
    from ibutsu_tasks.retention.due import DueRows
    from ibutsu_tasks.retention.rows import RowKey, Rows
    from ibutsu_tasks.retention.watch import PruneWatch

COUNT_TIMEOUT_SECONDS = 300
"""Counting reads every due row, or all dependants of some; it changes nothing and holds no row's lock."""

PASSES = 4

TARGET_SECONDS = 0.25
"""What a batch is to take: a disk or a neighbour four times slower than before still keeps it under 1 s."""

LARGEST_STEP = 2.0
DEEPEST_CUT = 0.25

DEPENDANTS_FACTOR = 2
LEAST_DEPENDANTS = 500
"""A batch is given up where its rows have so many times its weight of dependants: unlike those before."""

BYTES_PER_WEIGHT = 8192
"""Content is kept in pieces of 2 KB, each deleted as a row without indexes: four cost as much as a row."""

PASSED_PER_WEIGHT = 20
"""To look at so many rows and keep them takes as long as to delete one."""


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

    @property
    def window(self) -> int:
        """The number of rows of the rule's table to look at, where some of them are kept."""
        return self.weight * PASSED_PER_WEIGHT

    @property
    def dependants_limit(self) -> int:
        """The number of rows of one table that a batch gives up at."""
        return min(max(LEAST_DEPENDANTS, self.weight), self.highest_weight) * DEPENDANTS_FACTOR

    def cut(self) -> None:
        """Choose fewer rows next, as some of these were in use or had too many dependants; in the end one."""
        self.weight = max(1, int(self.roots * self.root_weight * DEEPEST_CUT))

    def learn(self, roots: int, weight: float, seconds: float, passed: int = 0) -> None:
        """Learn from a batch that deleted `roots` of the rule's table, weighed `weight`, took `seconds`.

        It `passed` over so many that are kept.
        """
        if weight:
            self.root_weight = max(1.0, weight / max(1, roots))
        weight += passed / PASSED_PER_WEIGHT
        factor = TARGET_SECONDS / max(seconds, 0.001)
        # What a batch far from full says of time is mostly its fixed part: no reason to grow.
        if factor > 1 and weight < self.weight / 2:
            return
        wanted = self.weight * min(max(factor, DEEPEST_CUT), LARGEST_STEP)
        self.weight = round(min(max(wanted, self.lowest_weight), self.highest_weight))


class ChangedError(Exception):
    """A batch would have deleted what was written after it was archived."""


@dataclass
class BatchPruner:
    """Deletes batch after batch, each in a transaction of its own, the oldest rows first.

    A batch is one statement, which deletes rows with their dependants. Where that meets somebody else's work,
    or too much for one transaction, smaller batches pass over the rows that others have locked. Of a single
    row that does not go, the dependants go first, in batches of their own. So no batch fails or waits for
    long because of somebody else's work, and a row with many dependants takes several. With an archiver, rows
    are archived before they go, and what was written since stays.
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
        try:
            return self._run()
        except KeyboardInterrupt:
            if not self.watch.should_stop():
                raise
            self.stopped = True
            return 0

    def _run(self) -> int:
        for number in range(PASSES):
            if number:
                time.sleep(self.tuner.pause_seconds)
            self._delete(self.due) if self.archiver is None else self._archive_and_delete(self.archiver)
            if self.stopped:
                return 0
            in_use = self._count_due() - (len(self.archiver.refused) if self.archiver else 0)
            if in_use <= 0:
                return 0
        return in_use

    def _archive_and_delete(self, archiver: Archiver) -> None:
        after: RowKey | None = None
        while not self.stopped:
            with self.watch.interrupting(), self.open_session() as session:
                chosen = self.due.choose(session, after, self.tuner.roots)
            if not chosen:
                return
            after = chosen[-1]
            self._delete_unchanged(archiver, archiver.archive([key.id for key in chosen]))
            self.stopped = self.watch.should_stop()

    def _delete_unchanged(self, archiver: Archiver, root_ids: Collection[Any]) -> None:
        """Delete these rows, except those that were written since they were archived."""
        while root_ids and not self.stopped:
            with self.watch.interrupting(), self.open_session() as session:
                allow_counting(session)
                root_ids = archiver.find_unchanged(session, root_ids)
            try:
                self._delete(replace(self.due, chosen=archiver.are_among(root_ids)))
            except ChangedError:
                continue
            return

    def _delete(self, rows: Rows) -> None:
        """Delete these rows, except those in use."""
        after: RowKey | None = None
        is_unexpected = self.archiver.is_written_since if self.archiver else nothing
        skip_locked = False
        while not self.stopped:
            tuned = (self.tuner.dependants_limit, skip_locked, self.tuner.window)
            sweeper = Sweeper(rows, *tuned, is_unexpected=is_unexpected)
            try:
                swept = self._sweep(sweeper, after, self.tuner.roots)
            except SweepConflictError:
                skip_locked = True
                if self.tuner.roots > 1:
                    self.tuner.cut()
                    continue
                swept = self._take_apart(sweeper, after)
            after = swept.last
            in_use = swept.found - swept.rows_of(rows.root)
            skip_locked = in_use > 0
            if after is None or (in_use and not rows.in_order):
                return

    def _take_apart(self, sweeper: Sweeper, after: RowKey | None) -> Sweep:
        """Delete the dependants of the next row, then this row, if nobody is in the way any more."""
        with self.watch.interrupting(), self.open_session() as session:
            chosen = sweeper.rows.choose(session, after, 1)
        for key in chosen:
            for dependants in sweeper.rows.dependants(key.id):
                self._delete(dependants)
        try:
            return self._sweep(sweeper._replace(skip_locked=True, timeout=LONGEST_TIMEOUT), after, 1)
        except SweepConflictError:
            return Sweep(chosen[0] if chosen else None, found=len(chosen))

    def _sweep(self, sweeper: Sweeper, after: RowKey | None, limit: int) -> Sweep:
        started = time.monotonic()
        with sweeper.raising_conflicts(), self.open_session() as session:
            swept = sweeper.sweep(session, after, limit)
            if swept.unexpected:
                raise ChangedError
        self._end_batch(sweeper.rows.root, swept, time.monotonic() - started)
        return swept

    def _end_batch(self, root: Table, swept: Sweep, seconds: float) -> None:
        rows = sum(one.rows for one in swept.deleted.values())
        size_bytes = sum(one.size_bytes for one in swept.deleted.values())
        if swept.last:
            weight = rows + size_bytes / BYTES_PER_WEIGHT
            self.tuner.learn(swept.rows_of(root), weight, seconds, swept.passed)
        if rows:
            self.deleted.update({table.name: one.rows for table, one in swept.deleted.items()})
            self.size_bytes += size_bytes
            self.watch.end_batch(self.deleted.total())
        self.stopped = self.watch.should_stop()

    def _count_due(self) -> int:
        with self.watch.interrupting(), self.open_session() as session:
            allow_counting(session)
            root = self.due.select_all(self.due.root).subquery()
            return session.scalar(select(func.count()).select_from(root)) or 0


def allow_counting(session: Session) -> None:
    """Let the statements of this transaction run for as long as counting may take."""
    session.execute(select(func.set_config("statement_timeout", f"{COUNT_TIMEOUT_SECONDS}s", True)))
