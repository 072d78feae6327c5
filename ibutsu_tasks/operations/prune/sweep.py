"""One batch, the fast way: the next due rows and all their dependants deleted by one statement.

It locks nothing before it deletes, which costs a fifth less than `locking` (benchmark `prune`).
Where somebody else's work is in its way, it is rolled back and the same rows go the other way.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import CTE, BigInteger, ColumnElement, Select, Text, any_, cast, delete, func, select, union
from sqlalchemy.exc import DBAPIError

from ibutsu_tasks.operations.prune.due import RowKey, chosen_by, size_bytes
from ibutsu_tasks.operations.prune.locking import Deleted, ctid

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
"""Of a transaction that sweeps. It is to be short; as every step has an index, statistics that nobody has
gathered yet must not lead PostgreSQL to read a whole table instead."""

COMMIT_TIMEOUT = "30s"
"""What the time limit becomes with the statement itself: a commit must not run out of it."""

CONFLICT_SQLSTATES = frozenset({"23503", "40P01", "55P03", "57014"})
"""A row that would go has another dependant, somebody has locked one, or the time is up."""


class SweepConflictError(Exception):
    """A sweep deletes all it chose or nothing, and this one cannot."""


class Sweep(NamedTuple):
    """The last row of the rule's table that was chosen, None when none was left, and what was deleted."""

    last: RowKey | None
    deleted: Mapping[Table, Deleted]


@contextmanager
def raising_conflicts() -> Iterator[None]:
    """Raise SweepConflictError where PostgreSQL says that somebody was in the way, or that the time is up.

    It may say so of the commit: a time limit that is reached with the last step of a statement is reported
    with the next one.
    """
    try:
        yield
    except DBAPIError as error:
        if getattr(error.orig, "pgcode", None) in CONFLICT_SQLSTATES:
            raise SweepConflictError from error
        raise


def sweep(session: Session, due: DueRows, after: RowKey | None, limit: int, dependants_limit: int) -> Sweep:
    """Delete the next `limit` rows of the rule's table, oldest first, and their dependants.

    A dependant goes because this very statement deleted its parent; PostgreSQL checks the keys once it has
    ended. Raises SweepConflictError, and the transaction is to be rolled back, when somebody else has locked
    one of the rows or added a dependant, and when one table has `dependants_limit` of them or more.
    """
    statement = _statement(due, after, limit, dependants_limit)
    with raising_conflicts():
        session.execute(select(*(func.set_config(*setting, True) for setting in SETTINGS.items())))
        _, date, row_id, *counted = session.execute(statement).one()
    deleted = {table: Deleted(*counted[2 * n : 2 * n + 2]) for n, table in enumerate(due.tables)}
    # The keys alone do not say so: some take with them what was not chosen.
    if any(deleted[table].rows >= dependants_limit for table in due.tables[1:]):
        raise SweepConflictError
    return Sweep(None if date is None else RowKey(date, row_id), deleted)


def _statement(
    due: DueRows, after: RowKey | None, limit: int, dependants_limit: int
) -> Select[*tuple[Any, ...]]:
    columns = (_place(due.root), due.root_date.label("date"), due.root.c.id)
    chosen = due.next_roots(after, limit, *columns).cte("chosen")
    gone = {due.root: _delete(due.root, select(chosen.c.place), *due.conditions(due.root, {}))}
    for table in due.tables[1:]:
        gone[table] = _delete(table, _dependants(due, table, gone).limit(dependants_limit))
    last = select(chosen.c.date, chosen.c.id).order_by(chosen.c.date.desc(), chosen.c.id.desc()).limit(1)
    counted = [column for rows in gone.values() for column in _count(rows)]
    return select(
        func.set_config("statement_timeout", COMMIT_TIMEOUT, True),
        last.with_only_columns(cast(chosen.c.date, Text)).scalar_subquery(),
        last.with_only_columns(chosen.c.id).scalar_subquery(),
        *counted,
    )


def _dependants(due: DueRows, table: Table, gone: Mapping[Table, CTE]) -> Select[Any]:
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
