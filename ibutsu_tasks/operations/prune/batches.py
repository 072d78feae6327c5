"""Deleting due rows batch after batch, so that no transaction is long and no lock is held for long."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol
from uuid import UUID

from sqlalchemy import func, select

from ibutsu_tasks.operations.prune.sweep import Gone, SweepDisturbedError, sweep, telling_disturbances
from ibutsu_tasks.operations.prune.tuning import BatchTuner, weigh

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from contextlib import AbstractContextManager

    from sqlalchemy import Table
    from sqlalchemy.orm import Session

    from ibutsu_tasks.operations.prune.due import DueRows, RowKey, RowPlace

LOCK_TIMEOUT_SECONDS = 2
BATCH_TIMEOUT_SECONDS = 30
COUNT_TIMEOUT_SECONDS = 300
"""Counting reads every due row, or all that hangs on some; it changes nothing and holds no row's lock."""

HANGING_FACTOR = 2
"""A sweep is given up where so many times its weight hangs on its rows: they are not like those before."""

PASSES = 4
PAUSE_SECONDS = 1
"""Rows somebody else holds are tried again after a pause: most writers of the API are gone by then."""


class Keeper(Protocol):
    """Saves what goes before it goes. A row it refuses is passed over and counted as left."""

    def keep(self, root_ids: Sequence[UUID]) -> Collection[UUID]:
        """Save these rows of the rule's table and what hangs on them; give those that may go.

        Called outside any transaction, before a batch.
        """

    def is_unchanged(self, session: Session, root_ids: Sequence[UUID]) -> Collection[UUID]:
        """Give those of the rows on which nothing was hung or changed since they were saved.

        A row with much hanging on it goes in several transactions: what is gone already is no change.
        """

    def has_changed(self, session: Session, row_ids: Mapping[str, Collection[UUID]]) -> bool:
        """Say whether one of these rows, by table, was made or changed since they were saved.

        Called in each deleting transaction once the rows it deletes are locked, before it deletes any.
        """


@dataclass(slots=True)
class _Level:
    """Rows of one table in a batch: those locked, and what else is known to hang on the level above.

    `is_cut`: more hangs there than fits the batch. `has_stragglers`: somebody else holds some of it.
    """

    rows: Sequence[RowPlace]
    is_cut: bool = False
    has_stragglers: bool = False

    @property
    def size_bytes(self) -> int:
        return _total_size(self.rows)


class BatchPruner:
    """Deletes batch after batch, each in a transaction of its own.

    A batch is swept: its rows, the oldest that are left, go by one statement with all that hangs on them.
    Where somebody's work is in its way, or too much hangs there for one transaction, the sweep is rolled
    back and its rows are taken apart: locked from the top down and deleted from the bottom up. Nobody can
    hang a new row on a locked one, rows locked by others are passed over, and a row goes only when nothing
    hangs on it any more: so no batch fails or waits for long because of somebody else's work. With a keeper
    all rows go that way.

    `goes_on` is called between batches with the number of rows deleted so far; False ends the prune.
    """

    def __init__(
        self,
        open_session: Callable[[], AbstractContextManager[Session]],
        due: DueRows,
        goes_on: Callable[[int], bool],
        keeper: Keeper | None = None,
    ) -> None:
        self._open_session = open_session
        self._goes_on = goes_on
        self._keeper = keeper
        self._tuner = BatchTuner()
        self.due = due
        self.deleted: Counter[str] = Counter()
        self.size_bytes = 0
        self.stopped = False

    def run(self) -> int:
        """Delete until nothing due is left or what is left stays in use; give the number of these rows."""
        for number in range(PASSES):
            if number:
                time.sleep(PAUSE_SECONDS)
            self._walk()
            if self.stopped:
                return 0
            left = self._count_left()
            if not left:
                break
        return left

    def _walk(self) -> None:
        last: RowKey | None = None
        while not self.stopped:
            limit = self._tuner.roots(self.due.rule.batch_rows)
            roots, weight = self.deleted[self.due.root.name], self._weight
            try:
                last = self._sweep(last, limit) if self._keeper is None else self._take_apart(last, limit)
            except SweepDisturbedError:
                last = self._take_apart(last, limit)
            if last is None:
                return
            self._tuner.learn_root_weight(self.deleted[self.due.root.name] - roots, self._weight - weight)

    @property
    def _weight(self) -> float:
        return weigh(self.deleted.total(), self.size_bytes)

    def _sweep(self, after: RowKey | None, limit: int) -> RowKey | None:
        """Delete this many rows and all that hangs on them; give the last one, None when none is left."""
        started = time.monotonic()
        with telling_disturbances(), self._open_session() as session:
            last, gone = sweep(session, self.due, after, limit, self._tuner.weight * HANGING_FACTOR)
        if last is not None:
            self._take_note(gone, time.monotonic() - started)
        return last

    def _take_apart(self, after: RowKey | None, limit: int) -> RowKey | None:
        """Delete as many of these rows as others leave free, and what hangs on them; give the last one."""
        with self._open_session() as session:
            set_timeouts(session, BATCH_TIMEOUT_SECONDS)
            roots: Sequence[RowPlace] = self.due.choose_roots(session, after, limit)
        last = roots[-1].key if roots else None
        while roots and not self.stopped:
            fitting = self._tuner.fitting([row.size_bytes for row in roots])
            kept = self._keep(roots[:fitting])
            while kept and self._delete_some(kept):
                pass
            roots = roots[fitting:]
        return last

    def _take_note(self, gone: Mapping[Table, Gone], seconds: float) -> None:
        rows, size_bytes = (sum(numbers) for numbers in zip(*gone.values(), strict=True))
        self._tuner.take_note(weigh(rows, size_bytes), seconds)
        self.deleted.update({table.name: one.rows for table, one in gone.items()})
        self.size_bytes += size_bytes
        self.stopped = not self._goes_on(self.deleted.total())

    def _keep(self, roots: Sequence[RowPlace]) -> Sequence[RowPlace]:
        if self._keeper is None:
            return roots
        kept = self._keeper.keep([UUID(row.id) for row in roots])
        with self._open_session() as session:
            set_timeouts(session, COUNT_TIMEOUT_SECONDS)
            unchanged = self._keeper.is_unchanged(session, list(kept))
        return [row for row in roots if UUID(row.id) in unchanged]

    def _delete_some(self, roots: Sequence[RowPlace]) -> bool:
        """Delete these rows or some of what hangs on them; say whether more of them may go at once."""
        started = time.monotonic()
        with self._open_session() as session:
            set_timeouts(session, BATCH_TIMEOUT_SECONDS)
            levels = self._lock(session, roots)
            if self._keeper is not None:
                levels = self._without_changed(session, self._keeper, levels)
            gone = self._delete_levels(session, levels)
        counted = {table: Gone(len(rows), _total_size(rows)) for table, rows in gone.items()}
        self._take_note(counted, time.monotonic() - started)
        # Once more while it shrinks: more may hang on it than goes in one transaction.
        return (
            not self.stopped
            and any(gone.values())
            and len(gone[self.due.root]) < len(levels[self.due.root].rows)
        )

    def _without_changed(
        self, session: Session, keeper: Keeper, levels: dict[Table, _Level]
    ) -> dict[Table, _Level]:
        """Take the rows of the rule's table out on which something was hung or changed since they were saved.

        Only what is about to go is looked at each time: all that hangs there may be a thousand times as much.
        """
        ids = {table.name: [UUID(row.id) for row in level.rows] for table, level in levels.items()}
        if not keeper.has_changed(session, ids):
            return levels
        roots = levels[self.due.root].rows
        unchanged = keeper.is_unchanged(session, [UUID(row.id) for row in roots])
        return self._lock(session, [row for row in roots if UUID(row.id) in unchanged])

    def _lock(self, session: Session, roots: Sequence[RowPlace]) -> dict[Table, _Level]:
        levels = {self.due.root: _Level(self.due.lock_roots(session, roots))}
        for table in self.due.tables[1:]:
            levels[table] = self._lock_hanging(session, table, levels)
        return levels

    def _lock_hanging(self, session: Session, table: Table, levels: Mapping[Table, _Level]) -> _Level:
        parents = {parent: [row.id for row in level.rows] for parent, level in levels.items()}
        limit = self._tuner.weight
        listed = self.due.list_hanging(session, table, parents, limit)
        fitting = self._tuner.fitting([row.size_bytes for row in listed])
        locked = self.due.lock_hanging(session, table, parents, listed[:fitting])
        is_cut = len(listed) == limit or fitting < len(listed)
        return _Level(locked, is_cut, has_stragglers=len(locked) < fitting)

    def _delete_levels(
        self, session: Session, levels: Mapping[Table, _Level]
    ) -> dict[Table, Sequence[RowPlace]]:
        gone: dict[Table, Sequence[RowPlace]] = {}
        for table in reversed(self.due.tables):
            below = [levels[child] for child in self.due.children(table)]
            gone[table] = self._free(session, table, levels[table], below)
            self.due.delete(session, table, gone[table])
            levels[table].has_stragglers |= len(gone[table]) < len(levels[table].rows)
        return gone

    def _free(
        self, session: Session, table: Table, level: _Level, below: Sequence[_Level]
    ) -> Sequence[RowPlace]:
        """Give the rows of a level on which nothing hangs any more."""
        if any(one.is_cut for one in below):
            level.is_cut = True
            return []
        if any(one.has_stragglers for one in below):
            return self.due.list_free(session, table, level.rows)
        return level.rows

    def _count_left(self) -> int:
        with self._open_session() as session:
            set_timeouts(session, COUNT_TIMEOUT_SECONDS)
            root = self.due.select_all(self.due.root).subquery()
            return session.scalar(select(func.count()).select_from(root)) or 0


def _total_size(rows: Sequence[RowPlace]) -> int:
    return sum(row.size_bytes for row in rows)


def set_timeouts(session: Session, statement_seconds: int) -> None:
    """Limit how long this transaction waits for a lock and how long one statement of it runs."""
    limits = {"lock_timeout": LOCK_TIMEOUT_SECONDS, "statement_timeout": statement_seconds}
    session.execute(select(*(func.set_config(name, f"{limit}s", True) for name, limit in limits.items())))
