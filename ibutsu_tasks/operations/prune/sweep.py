"""Deleting the next due rows, and all that hangs on them, by one statement."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import CTE, BigInteger, ColumnElement, Select, Text, any_, cast, delete, func, select, union
from sqlalchemy.exc import DBAPIError

from ibutsu_tasks.operations.prune.due import RowKey, chosen_by, ctid, size_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sqlalchemy import Table
    from sqlalchemy.orm import Session

    from ibutsu_tasks.operations.prune.due import DueRows

SETTINGS = {
    "lock_timeout": "100ms",
    "statement_timeout": "750ms",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
}
"""What a sweep sets for its transaction. It is to be short; and as every step of it has an index, statistics
that nobody has gathered yet must not lead PostgreSQL to read a whole table instead."""

COMMIT_TIMEOUT = "30s"
"""What the sweep's time limit becomes with the statement itself: a commit must not run out of it."""

DISTURBED_SQLSTATES = frozenset({"23503", "40P01", "55P03", "57014"})
"""Something hangs on a row that would go, somebody holds one, or there is no end to it in the time given."""


class SweepDisturbedError(Exception):
    """A sweep deletes all it chose or nothing, and this one cannot."""


class Gone(NamedTuple):
    """Rows deleted from one table, and what they held as it was stored."""

    rows: int
    size_bytes: int


class Sweep(NamedTuple):
    """The last row of the rule's table that was chosen, None when there was none left, and what went."""

    last: RowKey | None
    gone: Mapping[Table, Gone]


@contextmanager
def telling_disturbances() -> Iterator[None]:
    """Raise SweepDisturbedError where PostgreSQL says that a sweep was in somebody's way or out of time.

    It may say so of the commit: a time limit that is reached with the last step of a statement is told with
    the next one.
    """
    try:
        yield
    except DBAPIError as error:
        if getattr(error.orig, "pgcode", None) in DISTURBED_SQLSTATES:
            raise SweepDisturbedError from error
        raise


def sweep(session: Session, due: DueRows, after: RowKey | None, limit: int, hanging_limit: int) -> Sweep:
    """Delete the next `limit` rows of the rule's table, oldest first, and what hangs on them.

    Whatever hangs on a row goes because this very statement deleted that row; PostgreSQL checks the keys
    once it has ended. Raises SweepDisturbedError, and the transaction is to be rolled back, when somebody
    else holds one of the rows or has hung another on it, and when `hanging_limit` rows of one table or more
    hang there.
    """
    statement = _statement(due, after, limit, hanging_limit)
    with telling_disturbances():
        session.execute(select(*(func.set_config(*setting, True) for setting in SETTINGS.items())))
        _, date, row_id, *counted = session.execute(statement).one()
    gone = {table: Gone(*counted[2 * n : 2 * n + 2]) for n, table in enumerate(due.tables)}
    # The keys alone do not tell: some take with them what was not chosen.
    if any(gone[table].rows >= hanging_limit for table in due.tables[1:]):
        raise SweepDisturbedError
    return Sweep(None if date is None else RowKey(date, row_id), gone)


def _statement(
    due: DueRows, after: RowKey | None, limit: int, hanging_limit: int
) -> Select[*tuple[Any, ...]]:
    columns = (_place(due.root), due.root_date.label("date"), due.root.c.id)
    chosen = due.next_roots(after, limit, *columns).cte("chosen")
    gone = {due.root: _delete(due.root, select(chosen.c.place), *due.conditions(due.root, {}))}
    for table in due.tables[1:]:
        gone[table] = _delete(table, _hanging(due, table, gone).limit(hanging_limit))
    last = select(chosen.c.date, chosen.c.id).order_by(chosen.c.date.desc(), chosen.c.id.desc()).limit(1)
    counted = [column for rows in gone.values() for column in _count(rows)]
    return select(
        func.set_config("statement_timeout", COMMIT_TIMEOUT, True),
        last.with_only_columns(cast(chosen.c.date, Text)).scalar_subquery(),
        last.with_only_columns(chosen.c.id).scalar_subquery(),
        *counted,
    )


def _hanging(due: DueRows, table: Table, gone: Mapping[Table, CTE]) -> Select[Any]:
    parents = {parent: chosen_by(select(rows.c.id)) for parent, rows in gone.items()}
    found = [select(_place(table)).where(condition) for condition in due.conditions(table, parents)]
    if len(found) == 1:
        return found[0]
    # Not OR, which no index serves.
    return select(union(*found).subquery().c.place)


def _delete(table: Table, places: Select[Any], *conditions: ColumnElement[bool]) -> CTE:
    is_there = ctid(table) == any_(func.array(places.scalar_subquery()))
    query = delete(table).where(is_there, *conditions)
    return query.returning(table.c.id, size_bytes(table).label("size_bytes")).cte(f"gone_{table.name}")


def _count(rows: CTE) -> tuple[ColumnElement[int], ColumnElement[int]]:
    size = cast(func.coalesce(func.sum(rows.c.size_bytes), 0), BigInteger)
    return (
        select(func.count()).select_from(rows).scalar_subquery(),
        select(size).scalar_subquery(),
    )


def _place(table: Table) -> ColumnElement[Any]:
    return ctid(table).label("place")
