"""One batch: the next due rows and all their dependants deleted by one statement."""

from __future__ import annotations

from contextlib import contextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import (
    CTE,
    BigInteger,
    ColumnElement,
    CompoundSelect,
    Select,
    Text,
    any_,
    cast,
    delete,
    false,
    func,
    select,
    union,
    union_all,
)
from sqlalchemy.exc import DBAPIError

from ibutsu_tasks.retention.rows import RowKey, chosen_by, place_of, size_bytes
from ibutsu_tasks.retention.tables import key_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from sqlalchemy import Table
    from sqlalchemy.orm import Session

    from ibutsu_tasks.retention.rows import Rows

SETTINGS = {
    "lock_timeout": "100ms",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
}
"""Of a transaction that sweeps. It is to be short; as every step has an index, statistics that nobody has
gathered yet must not lead PostgreSQL to read a whole table instead."""

TIMEOUT = "750ms"

LONGEST_TIMEOUT = "30s"
"""For a single row without dependants, which cannot be made less, and for every commit."""

CONFLICT_SQLSTATES = frozenset({"40P01", "55P03", "57014"})
"""Somebody has locked a row that would go, or the time is up."""

_FOREIGN_KEY_VIOLATION = "23503"


class SweepConflictError(Exception):
    """A sweep deletes all it chose or nothing, and this one cannot."""


class Deleted(NamedTuple):
    """Rows deleted from one table, and what they held as it was stored."""

    rows: int
    size_bytes: int


class Sweep(NamedTuple):
    """What came of one: the last row looked at, None when there was none, how many were found or passed over.

    Of the `deleted` rows `unexpected` are such as the caller did not expect.
    """

    last: RowKey | None = None
    found: int = 0
    passed: int = 0
    unexpected: int = 0
    deleted: Mapping[Table, Deleted] = MappingProxyType({})

    def rows_of(self, table: Table) -> int:
        """Give the number of rows deleted from `table`."""
        return self.deleted[table].rows if table in self.deleted else 0


def nothing(_table: Table) -> ColumnElement[bool]:
    """Give a condition that holds for no row."""
    return false()


class Sweeper(NamedTuple):
    """Deletes of `rows`. With `skip_locked` a row of the first table that others have locked is passed over.

    That costs a fifth more (benchmark `prune`), and without it such a row is a conflict. One table may have
    `dependants_limit` rows. Where rows are kept, one sweep looks at `window` of them, so that a million in a
    row take no longer than the others. `is_unexpected` gives the condition on a row for `Sweep.unexpected`.
    """

    rows: Rows
    dependants_limit: int
    skip_locked: bool = False
    window: int = 10_000
    timeout: str = TIMEOUT
    is_unexpected: Callable[[Table], ColumnElement[bool]] = nothing

    def sweep(self, session: Session, after: RowKey | None, limit: int) -> Sweep:
        """Delete the next `limit` rows of the first table, and their dependants.

        A dependant goes because this very statement deleted its parent; PostgreSQL checks the keys once it
        has ended. Raises SweepConflictError, and the transaction is to be rolled back, when somebody else has
        locked one of the rows or added a dependant, and when they are too many for the limit or the time.
        """
        settings = SETTINGS | {"statement_timeout": self.timeout}
        with self.raising_conflicts():
            session.execute(select(*(func.set_config(*setting, True) for setting in settings.items())))
            row = session.execute(self._statement(after, limit)).one()
        _, date, row_id, found, ends, unexpected, *counted = row
        deleted = {table: Deleted(*counted[2 * n : 2 * n + 2]) for n, table in enumerate(self.rows.tables)}
        # The keys alone do not say so: some take with them what was not chosen.
        if any(deleted[table].rows >= self.dependants_limit for table in self.rows.tables[1:]):
            raise SweepConflictError
        last = None if row_id is None else RowKey(date, row_id)
        passed = max(self.window, limit) - found if ends > found else 0
        return Sweep(last, found, passed, unexpected, deleted)

    @contextmanager
    def raising_conflicts(self) -> Iterator[None]:
        """Raise SweepConflictError where PostgreSQL says that somebody was in the way, or that time is up.

        It may say so of the commit: a time limit that is reached with the last step of a statement is
        reported with the next one. A dependant in a table that is none of ours is no conflict: it stays.
        """
        try:
            yield
        except DBAPIError as error:
            sqlstate = getattr(error.orig, "pgcode", None)
            if sqlstate in CONFLICT_SQLSTATES or self._is_dependant(sqlstate, error.orig):
                raise SweepConflictError from error
            raise

    def _is_dependant(self, sqlstate: str | None, error: Any) -> bool:
        names = {table.name for table in self.rows.tables}
        return sqlstate == _FOREIGN_KEY_VIOLATION and error.diag.table_name in names

    def _statement(self, after: RowKey | None, limit: int) -> Select[*tuple[Any, ...]]:
        root = self.rows.root
        found = self.rows.next_roots(after, limit, max(self.window, limit)).cte("found")
        ends = self._ends(found, after, limit).cte("ends")
        conditions = self.rows.conditions(root, {})
        chosen = select(found.c.place)
        if self.skip_locked:
            # The search, which may be long, ends before the first row is locked.
            rows = select(place_of(root).label("place")).where(_is_at(root, chosen), *conditions)
            chosen = select(rows.with_for_update(skip_locked=True).cte("chosen").c.place)
        gone = {root: self._delete(root, chosen, *conditions)}
        for table in self.rows.tables[1:]:
            gone[table] = self._delete(table, self._dependants(table, gone).limit(self.dependants_limit))
        last = select(ends.c.date, ends.c.id).order_by(ends.c.date.desc(), ends.c.id.desc()).limit(1)
        unexpected = [_count(select(rows).where(rows.c.is_unexpected)) for rows in gone.values()]
        return select(
            func.set_config("statement_timeout", LONGEST_TIMEOUT, True),
            last.with_only_columns(cast(ends.c.date, Text)).scalar_subquery(),
            last.with_only_columns(cast(ends.c.id, Text)).scalar_subquery(),
            _count(select(found)),
            _count(select(ends)),
            sum(unexpected[1:], start=unexpected[0]),
            *(column for rows in gone.values() for column in (_count(select(rows)), _total_bytes(rows))),
        )

    def _ends(self, found: CTE, after: RowKey | None, limit: int) -> Select[Any] | CompoundSelect[Any]:
        """Select the rows found, and the last one looked at where too few were found up to there."""
        rows = select(found.c.date, found.c.id)
        if not self.rows.keeps_some:
            return rows
        end = self.rows.end_of_window(after, max(self.window, limit)).subquery()
        return union_all(rows, select(end.c.date, end.c.id).where(_count(select(found)) < limit))

    def _dependants(self, table: Table, gone: Mapping[Table, CTE]) -> Select[Any]:
        parents = {parent: chosen_by(select(rows.c.id)) for parent, rows in gone.items()}
        found = [
            select(place_of(table).label("place")).where(one) for one in self.rows.conditions(table, parents)
        ]
        if len(found) == 1:
            return found[0]
        # Not OR, which no index serves.
        return select(union(*found).subquery().c.place)

    def _delete(self, table: Table, places: Select[Any], *conditions: ColumnElement[bool]) -> CTE:
        query = delete(table).where(_is_at(table, places), *conditions)
        is_unexpected = self.is_unexpected(table).label("is_unexpected")
        size = size_bytes(table).label("size_bytes")
        return query.returning(key_of(table).label("id"), size, is_unexpected).cte()


def _count(rows: Select[Any]) -> ColumnElement[int]:
    return select(func.count()).select_from(rows.subquery()).scalar_subquery()


def _total_bytes(rows: CTE) -> ColumnElement[int]:
    size = cast(func.coalesce(func.sum(rows.c.size_bytes), 0), BigInteger)
    return select(size).scalar_subquery()


def _is_at(table: Table, places: Select[Any]) -> ColumnElement[bool]:
    return place_of(table) == any_(func.array(places.scalar_subquery()))
