"""One batch, the careful way beside others' work: its rows chosen, locked and deleted, without fetching.

Once a row is locked, nobody can add dependants to it. Rows that others have locked are skipped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import (
    CTE,
    ColumnElement,
    Double,
    Text,
    and_,
    any_,
    cast,
    delete,
    exists,
    func,
    literal,
    literal_column,
    or_,
    select,
)

from ibutsu_tasks.database.models import among
from ibutsu_tasks.operations.prune.due import RowKey, size_bytes

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from uuid import UUID

    from sqlalchemy import Select, Table
    from sqlalchemy.orm import Session

    from ibutsu_tasks.database.models import AmongKeys
    from ibutsu_tasks.operations.prune.due import DueRows

BYTES_PER_WEIGHT = 8192
"""Content is kept in pieces of 2 KB, each deleted as a row without indexes: four cost as much as a row."""

SETTINGS = {
    "lock_timeout": "2s",
    "statement_timeout": "30s",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
}
"""Of a transaction that deletes. As every step has an index, statistics that nobody has gathered yet must not
lead PostgreSQL to read a whole table instead."""


class LockedRows(NamedTuple):
    """Rows of one table, locked, and their places as PostgreSQL writes an array (`tid[]`).

    `found` rows there were, whether they fit the batch and are locked by others or not. `size_bytes` is what
    the rows hold as it is stored; None when others have locked some of those that fit.
    """

    places: str
    rows: int
    found: int
    size_bytes: int | None


class Deleted(NamedTuple):
    """Rows deleted from one table, and what they held as it was stored."""

    rows: int
    size_bytes: int


class RowLocker:
    """Works on the rows of `due` in the transaction of `session`; at most `weight` of one table at once.

    A row weighs 1, and 1 more for every 8 KB it holds; one of any weight is taken if it is the first.
    """

    def __init__(self, session: Session, due: DueRows, weight: int) -> None:
        self._session = session
        self._due = due
        self._weight = weight
        session.execute(select(*(func.set_config(*setting, True) for setting in SETTINGS.items())))

    def lock_next(self, after: RowKey | None, limit: int) -> tuple[LockedRows, RowKey | None]:
        """Lock the next rows of the rule's table, oldest first; give the last one seen, locked or not.

        None when there is no next row.
        """
        columns = (*_columns(self._due.root), self._due.root_date.label("date"))
        found = self._due.next_roots(after, limit, *columns)
        query, fitting = self._lock(self._due.root, found, self._due.conditions(self._due.root, {}))
        by_age = fitting.c.date.desc(), fitting.c.id.desc()
        date = select(cast(fitting.c.date, Text)).order_by(*by_age).limit(1).scalar_subquery()
        row_id = select(fitting.c.id).order_by(*by_age).limit(1).scalar_subquery()
        *locked, last_date, last_id = self._session.execute(query.add_columns(date, row_id)).one()
        return _locked_rows(*locked), None if last_date is None else RowKey(last_date, last_id)

    def lock_some(self, ids: Collection[UUID]) -> LockedRows:
        """Lock those of these rows of the rule's table that are due."""
        root = self._due.root
        return self._lock_where(root, and_(among(ids)(root.c.id), *self._due.conditions(root, {})))

    def lock_dependants(self, table: Table, parents: Mapping[Table, LockedRows]) -> LockedRows:
        """Lock rows of `table` that depend on these parents."""
        memberships = {parent: _ids_at(parent, rows.places) for parent, rows in parents.items()}
        return self._lock_where(table, or_(*self._due.conditions(table, memberships)))

    def delete(self, table: Table, locked: LockedRows, *, have_dependants: bool) -> Deleted:
        """Delete the locked rows; where some may still have dependants, those that have none."""
        conditions = [_is_at(table, locked.places)]
        if not have_dependants and locked.size_bytes is not None:
            self._session.execute(delete(table).where(*conditions))
            return Deleted(locked.rows, locked.size_bytes)
        if have_dependants:
            conditions += [
                ~exists().where(column == table.c.id).correlate(table)
                for child in self._due.children(table)
                for column, parent in self._due.keys[child]
                if parent is table
            ]
        query = delete(table).where(*conditions)
        gone = query.returning(size_bytes(table).label("size_bytes")).cte("gone")
        counted = select(func.count(), func.coalesce(func.sum(gone.c.size_bytes), 0)).select_from(gone)
        rows, total_bytes = self._session.execute(counted).one()
        return Deleted(rows, int(total_bytes))

    def _lock_where(self, table: Table, condition: ColumnElement[bool]) -> LockedRows:
        # One more than fits, to know that there are more.
        found = select(*_columns(table)).where(condition).limit(self._weight + 1)
        query, _ = self._lock(table, found, [condition])
        return _locked_rows(*self._session.execute(query).one())

    def _lock(
        self, table: Table, found: Select[*tuple[Any, ...]], conditions: Sequence[ColumnElement[bool]]
    ) -> tuple[Select[*tuple[Any, ...]], CTE]:
        """Give the query that locks what a batch takes of the rows found, and these rows.

        The search, which may be long, ends before the first row is locked. No row is fetched: Python would
        take longer for it than PostgreSQL.
        """
        found_rows = found.cte("found")
        total = func.sum(found_rows.c.weight).over(rows=(None, 0)).label("total")
        weighed = select(found_rows, total).subquery()
        fits = or_(weighed.c.total <= self._weight, weighed.c.total == weighed.c.weight)
        fitting = select(weighed).where(fits).cte("fitting")
        is_there = ctid(table) == any_(func.array(select(fitting.c.place).scalar_subquery()))
        locked = select(_place(table)).where(is_there, *conditions)
        rows = locked.with_for_update(skip_locked=True).cte("locked")
        places = select(func.coalesce(cast(func.array_agg(rows.c.place), Text), "{}")).scalar_subquery()
        counted = select(func.count(), func.sum(fitting.c.weight)).select_from(fitting).subquery()
        return select(places, _count(rows), _count(found_rows), *counted.c), fitting


def _columns(table: Table) -> tuple[ColumnElement[Any], ...]:
    # Not by a decimal, with which PostgreSQL would take ten times as long.
    weight = 1 + size_bytes(table) / cast(BYTES_PER_WEIGHT, Double)
    return (_place(table), table.c.id, weight.label("weight"))


def _locked_rows(places: str, rows: int, found: int, fitting: int, weight: float | None) -> LockedRows:
    # A weight is a binary fraction, so nothing was rounded.
    size_bytes = round(((weight or 0) - fitting) * BYTES_PER_WEIGHT) if rows == fitting else None
    return LockedRows(places, rows, found, size_bytes)


def _count(rows: CTE) -> ColumnElement[int]:
    return select(func.count()).select_from(rows).scalar_subquery()


def _ids_at(parent: Table, places: str) -> AmongKeys:
    ids = func.array(select(parent.c.id).where(_is_at(parent, places)).scalar_subquery())
    return lambda column: column == any_(ids)


def _is_at(table: Table, places: str) -> ColumnElement[bool]:
    return ctid(table) == any_(literal(places).op("::")(literal_column("tid[]")))


def _place(table: Table) -> ColumnElement[Any]:
    return ctid(table).label("place")


def ctid(table: Table) -> ColumnElement[Any]:
    """Give the place of a row of `table`, which holds while nobody changes the row."""
    return literal_column(f"{table.name}.ctid")
