"""Deleting due rows batch after batch, so that no transaction is long and no lock is held for long."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from sqlalchemy import delete, func, select, text

from ibutsu_tasks.operations.due_rows import DueRows, among, size_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy import Row, Table
    from sqlalchemy.orm import Session

LOCK_TIMEOUT_SECONDS = 2
BATCH_TIMEOUT_SECONDS = 30
COUNT_TIMEOUT_SECONDS = 300
"""Counting reads every due row; it changes nothing and holds no row's lock."""

HANGING_ROWS = 2000
"""Rows of each dependent table that go in one transaction: well under a second of locks."""

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

        Called in the deleting transaction once the rows it deletes are locked, before it deletes any. A row
        with much hanging on it goes in several transactions: what is gone already is no change.
        """


@dataclass(frozen=True, slots=True)
class _Gone:
    """Rows one batch deleted from a table."""

    table: str
    rows: int
    size_bytes: int


class BatchPruner:
    """Deletes batch after batch, each in a transaction of its own.

    A batch locks its rows from the top down and deletes them from the bottom up. Nobody can hang a new row
    on a locked one, rows locked by others are passed over, and a row goes only when nothing hangs on it
    any more: so no batch fails or waits because of somebody else's work.
    """

    def __init__(
        self,
        open_session: Callable[[], AbstractContextManager[Session]],
        due: DueRows,
        on_progress: Callable[[int], None],
        keeper: Keeper | None = None,
    ) -> None:
        self._open_session = open_session
        self._on_progress = on_progress
        self._keeper = keeper
        self.due = due
        self.deleted: Counter[str] = Counter()
        self.size_bytes = 0

    def run(self) -> int:
        """Delete until nothing due is left or what is left stays in use; give the number of these rows."""
        for number in range(PASSES):
            if number:
                time.sleep(PAUSE_SECONDS)
            self._walk()
            left = self._count_left()
            if not left:
                break
        return left

    def _walk(self) -> None:
        after: tuple[datetime, UUID] | None = None
        while roots := self._choose_roots(after):
            last_id, last_date = roots[-1]
            after = (last_date, last_id)
            root_ids: Collection[UUID] = [row_id for row_id, _ in roots]
            if self._keeper:
                root_ids = self._keeper.keep(list(root_ids))
            while root_ids and self._delete_some(root_ids):
                pass

    def _choose_roots(self, after: tuple[datetime, UUID] | None) -> Sequence[Row[UUID, datetime]]:
        with self._open_session() as session:
            set_timeouts(session, BATCH_TIMEOUT_SECONDS)
            return session.execute(self.due.select_roots(after)).all()

    def _delete_some(self, root_ids: Collection[UUID]) -> bool:
        """Delete these rows or some of what hangs on them; say whether more of them may go at once."""
        with self._open_session() as session:
            set_timeouts(session, BATCH_TIMEOUT_SECONDS)
            locked = self._lock(session, session.scalars(self.due.lock_roots(root_ids)).all())
            if self._keeper:
                unchanged = self._keeper.is_unchanged(session, locked[self.due.root])
                if len(unchanged) < len(locked[self.due.root]):
                    locked = self._lock(session, list(unchanged))
            tables = reversed(self.due.tables)
            gone = [_delete_free(session, self.due, table, locked[table]) for table in tables]
        self._take_note(gone)
        rows = {one.table: one.rows for one in gone}
        # Once more while it shrinks: more may hang on it than goes in one transaction.
        return any(rows.values()) and rows[self.due.root.name] < len(locked[self.due.root])

    def _lock(self, session: Session, root_ids: Sequence[UUID]) -> dict[Table, Sequence[UUID]]:
        locked = {self.due.root: root_ids}
        for table in self.due.tables[1:]:
            locked[table] = session.scalars(self.due.select_hanging(table, locked, HANGING_ROWS)).all()
        return locked

    def _take_note(self, gone: Sequence[_Gone]) -> None:
        for one in gone:
            self.deleted[one.table] += one.rows
            self.size_bytes += one.size_bytes
        self._on_progress(self.deleted.total())

    def _count_left(self) -> int:
        with self._open_session() as session:
            set_timeouts(session, COUNT_TIMEOUT_SECONDS)
            root = self.due.select_all(self.due.root).subquery()
            return session.scalar(select(func.count()).select_from(root)) or 0


def _delete_free(session: Session, due: DueRows, table: Table, ids: Sequence[UUID]) -> _Gone:
    """Delete those of the rows `ids` on which nothing hangs."""
    free = (among(ids)(table.c.id), *due.has_nothing_hanging(table))
    gone = delete(table).where(*free).returning(size_bytes(table).label("stored")).cte("gone")
    query = select(func.count(), func.coalesce(func.sum(gone.c.stored), 0)).select_from(gone)
    rows, stored = session.execute(query).one()
    return _Gone(table.name, rows, int(stored))


def set_timeouts(session: Session, statement_seconds: int) -> None:
    """Limit how long this transaction waits for a lock and how long one statement of it runs."""
    settings = {"lock_timeout": LOCK_TIMEOUT_SECONDS, "statement_timeout": statement_seconds}
    for name, seconds in settings.items():
        session.execute(text(f"SET LOCAL {name} = '{seconds}s'"))
