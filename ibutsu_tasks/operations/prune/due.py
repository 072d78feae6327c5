"""Which rows a retention rule takes, said once for counting and for deleting.

A rule takes the rows of its table that are older than the cut-off, and every row that hangs on one of
them by a foreign key, whatever its own date. What hangs on what is read from the models.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    Column,
    ColumnElement,
    Select,
    Table,
    Text,
    Uuid,
    and_,
    any_,
    case,
    cast,
    delete,
    exists,
    func,
    literal,
    literal_column,
    null,
    or_,
    select,
    tuple_,
    union,
)

from ibutsu_tasks.database.membership import Membership, among
from ibutsu_tasks.database.models import Base
from ibutsu_tasks.retention import DATE_COLUMNS, RetentionRule

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sqlalchemy.orm import Session

BEGINNING = datetime(1, 1, 1)  # noqa: DTZ001 - the database's times are naive UTC
"""The first moment Python has a value for."""


class RowKey(NamedTuple):
    """Where a row of the rule's table stands among the due ones: the oldest first.

    The date is PostgreSQL's text: Python has no value for one before Christ.
    """

    date: str
    id: UUID


class RowPlace(NamedTuple):
    """Where a row lies in its table (`ctid`), its id, its stored size, and in the rule's table its date.

    A row under a lock of this transaction stays where it lies; any other may be elsewhere by now.
    """

    place: str
    id: str
    size_bytes: int
    date: str | None = None

    @property
    def key(self) -> RowKey | None:
        """Where it stands among the due ones; None outside the rule's table."""
        return None if self.date is None else RowKey(self.date, UUID(self.id))


@dataclass(frozen=True)
class DueRows:
    """The rows `rule` takes at `cutoff` (naive UTC), and at their own cut-off in some projects, by id.

    Where that is None, no row goes.
    """

    rule: RetentionRule
    cutoff: datetime
    own_cutoffs: Mapping[UUID, datetime | None] = field(default_factory=dict)

    @cached_property
    def tables(self) -> tuple[Table, ...]:
        """The rule's table and those whose rows go with it, parents before what hangs on them."""
        found = [self.root]
        for table in Base.metadata.sorted_tables:
            if table is not self.root and any(key.column.table in found for key in table.foreign_keys):
                found.append(table)
        return tuple(found)

    @cached_property
    def root(self) -> Table:
        """The table whose dates decide."""
        return Base.metadata.tables[self.rule.table]

    @property
    def root_date(self) -> Column[Any]:
        """The date that decides."""
        return self.root.c[self.rule.date_column]

    def conditions(self, table: Table, parents: Mapping[Table, Membership]) -> list[ColumnElement[bool]]:
        """Give the conditions on a row of `table`; it is taken when any of them holds."""
        if table is self.root:
            return [self._is_due()]
        return [parents[parent](column) for column, parent in self._links(table)]

    def _is_due(self) -> ColumnElement[bool]:
        if not self.own_cutoffs:
            return self.root_date < self.cutoff
        own = {str(project_id): moment for project_id, moment in self.own_cutoffs.items()}
        cutoff = case(own, value=_project_of(self.root), else_=self.cutoff)
        # The first half is what an index on the date can serve.
        latest = max([self.cutoff, *(moment for moment in own.values() if moment)])
        return and_(self.root_date < latest, self.root_date < cutoff)

    def select_all(self, table: Table) -> Select[UUID]:
        """Select the ids of every row of `table` the rule takes."""
        parents = {parent: chosen_by(self.select_all(parent)) for _, parent in self._links(table)}
        conditions = self.conditions(table, parents)
        if len(conditions) == 1:
            return select(table.c.id).where(conditions[0])
        # Not OR: PostgreSQL cannot join on it, and would compare every row with every parent.
        either = union(*(select(table.c.id).where(condition) for condition in conditions)).subquery()
        return select(either.c.id)

    def choose_roots(self, session: Session, after: RowKey | None, limit: int) -> list[RowPlace]:
        """Give the next rows of the rule's table, oldest first, without locking them."""
        return _places(session, self.next_roots(after, limit, *_place(self.root), cast(self.root_date, Text)))

    def next_roots(
        self, after: RowKey | None, limit: int, *columns: ColumnElement[Any]
    ) -> Select[*tuple[Any, ...]]:
        """Select these columns of the next rows of the rule's table, oldest first."""
        key = (self.root_date, self.root.c.id)
        query = select(*columns).where(*self.conditions(self.root, {}))
        if after is not None:
            date = cast(literal(after.date), self.root_date.type)
            query = query.where(tuple_(*key) > tuple_(date, literal(after.id, Uuid())))
        return query.order_by(*key).limit(limit)

    def lock_roots(self, session: Session, rows: Sequence[RowPlace]) -> list[RowPlace]:
        """Lock those of the rows that are where they were and still due, passing over others' rows."""
        return _lock(session, self.root, rows, *self.conditions(self.root, {}))

    def list_hanging(
        self, session: Session, table: Table, parents: Mapping[Table, Sequence[str]], limit: int
    ) -> list[RowPlace]:
        """Give up to `limit` rows of `table` that hang on these parents, whoever holds them."""
        return _places(session, select(*_place(table)).where(self._hangs(table, parents)).limit(limit))

    def lock_hanging(
        self,
        session: Session,
        table: Table,
        parents: Mapping[Table, Sequence[str]],
        rows: Sequence[RowPlace],
    ) -> list[RowPlace]:
        """Lock those of the rows that still hang on these parents, passing over others' rows."""
        return _lock(session, table, rows, self._hangs(table, parents)) if rows else []

    def list_free(self, session: Session, table: Table, rows: Sequence[RowPlace]) -> list[RowPlace]:
        """Give those of the rows on which nothing in the rule's tables hangs any more."""
        nothing_hangs = [
            ~exists().where(column == table.c.id).correlate(table)
            for child in self.children(table)
            for column, parent in self._links(child)
            if parent is table
        ]
        return _places(session, select(*_place(table)).where(_is_at(table, rows), *nothing_hangs))

    def delete(self, session: Session, table: Table, rows: Sequence[RowPlace]) -> None:
        """Delete rows this transaction has locked."""
        if rows:
            session.execute(delete(table).where(_is_at(table, rows)))

    def children(self, table: Table) -> list[Table]:
        """Give the rule's tables whose rows may hang directly on a row of `table`."""
        return [child for child in self.tables if any(parent is table for _, parent in self._links(child))]

    def _hangs(self, table: Table, parents: Mapping[Table, Sequence[str]]) -> ColumnElement[bool]:
        return or_(*self.conditions(table, {parent: among(ids) for parent, ids in parents.items()}))

    def _links(self, table: Table) -> Iterator[tuple[Column[Any], Table]]:
        if table is self.root:
            return
        for key in sorted(table.foreign_keys, key=lambda key: key.parent.name):
            if key.column.table in self.tables:
                yield key.parent, key.column.table


def _project_of(table: Table) -> ColumnElement[str]:
    """Give the id, as text, of the project a row of a rule's table belongs to; null where there is none."""
    if "project_id" in table.c:
        return cast(table.c.project_id, Text)
    if table is Base.metadata.tables["imports"]:
        return func.lower(table.c.data["project_id"].astext)
    parents = ((key.parent, key.column.table) for key in table.foreign_keys)
    projects = (
        select(parent.c.project_id).where(parent.c.id == column).scalar_subquery()
        for column, parent in sorted(parents, key=lambda pair: pair[0].name)
    )
    return cast(func.coalesce(*projects), Text)


def _place(table: Table) -> tuple[ColumnElement[Any], ...]:
    return (cast(ctid(table), Text), _id(table), size_bytes(table))


def _places(session: Session, query: Select[*tuple[Any, ...]]) -> list[RowPlace]:
    # All at once: iterating over a result asks the driver for every row by itself.
    return [RowPlace(*row) for row in session.execute(query).all()]


def _lock(
    session: Session, table: Table, rows: Sequence[RowPlace], *conditions: ColumnElement[bool]
) -> list[RowPlace]:
    query = select(cast(ctid(table), Text), _id(table)).where(_is_at(table, rows), *conditions)
    found = session.execute(query.with_for_update(skip_locked=True)).all()
    locked = {(place, row_id) for place, row_id in found}
    # Where a row was, another may lie by now.
    return [row for row in rows if (row.place, row.id) in locked]


def ctid(table: Table) -> ColumnElement[Any]:
    """Give the place of a row of `table`, which holds while nobody changes the row."""
    return literal_column(f"{table.name}.ctid")


def _id(table: Table) -> ColumnElement[str]:
    return cast(table.c.id, Text)


def _is_at(table: Table, rows: Sequence[RowPlace]) -> ColumnElement[bool]:
    places = ",".join(f'"{row.place}"' for row in rows)
    return ctid(table) == any_(literal(f"{{{places}}}").op("::")(literal_column("tid[]")))


def chosen_by(query: Select[UUID]) -> Membership:
    """Take the parents whose ids this query gives."""
    return lambda column: column.in_(query)


def size_bytes(table: Table) -> ColumnElement[int]:
    """Give a row's size in bytes as it is stored, without reading content kept out of line."""
    sizes = [func.coalesce(func.pg_column_size(column), 0) for column in table.c]
    return sum(sizes[1:], start=sizes[0])


def row_date(table: Table) -> ColumnElement[Any]:
    """Give the date of a row of `table`, null where the table has none; before Christ counts as year 1."""
    name = DATE_COLUMNS.get(table.name)
    return null() if name is None else func.greatest(table.c[name], BEGINNING)
