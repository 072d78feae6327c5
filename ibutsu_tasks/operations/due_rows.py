"""Which rows a retention rule takes, said once for counting and for deleting.

A rule takes the rows of its table that are older than the cut-off, and every row that hangs on one of
them by a foreign key, whatever its own date. What hangs on what is read from the models.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    Column,
    ColumnElement,
    Select,
    Table,
    Uuid,
    any_,
    exists,
    func,
    literal,
    null,
    or_,
    select,
    tuple_,
    union,
)

from ibutsu_tasks.database.models import Base
from ibutsu_tasks.retention import DATE_COLUMNS, RetentionRule

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from datetime import datetime

Membership = Callable[[ColumnElement[UUID]], ColumnElement[bool]]
"""Turns a column that names a parent into the condition that this parent is among those taken."""


def among(ids: Collection[UUID]) -> Membership:
    """Take the parents with these ids."""
    return lambda column: column == any_(literal(list(ids), ARRAY(Uuid())))


@dataclass(frozen=True)
class DueRows:
    """The rows `rule` takes at `cutoff` (naive UTC)."""

    rule: RetentionRule
    cutoff: datetime

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
            return [self.root_date < self.cutoff]
        return [parents[parent](column) for column, parent in self._links(table)]

    def select_all(self, table: Table) -> Select[UUID]:
        """Select the ids of every row of `table` the rule takes."""
        parents = {parent: _chosen_by(self.select_all(parent)) for _, parent in self._links(table)}
        conditions = self.conditions(table, parents)
        if len(conditions) == 1:
            return select(table.c.id).where(conditions[0])
        # Not OR: PostgreSQL cannot join on it, and would compare every row with every parent.
        either = union(*(select(table.c.id).where(condition) for condition in conditions)).subquery()
        return select(either.c.id)

    def select_roots(self, after: tuple[datetime, UUID] | None) -> Select[UUID, datetime]:
        """Select the next batch of the rule's table, oldest first."""
        key = (self.root_date, self.root.c.id)
        query = select(self.root.c.id, self.root_date).where(*self.conditions(self.root, {}))
        if after is not None:
            query = query.where(tuple_(*key) > tuple_(*after))
        return query.order_by(*key).limit(self.rule.batch_rows)

    def lock_roots(self, ids: Collection[UUID]) -> Select[UUID]:
        """Lock those of the rows `ids` of the rule's table that are still due, passing over others' rows."""
        query = select(self.root.c.id).where(among(ids)(self.root.c.id), *self.conditions(self.root, {}))
        return query.with_for_update(skip_locked=True)

    def select_hanging(
        self, table: Table, locked: Mapping[Table, Sequence[UUID]], limit: int
    ) -> Select[UUID]:
        """Lock up to `limit` rows of `table` that hang on `locked` rows, passing over others' rows."""
        parents = {parent: among(ids) for parent, ids in locked.items()}
        query = select(table.c.id).where(or_(*self.conditions(table, parents)))
        return query.limit(limit).with_for_update(skip_locked=True)

    def has_nothing_hanging(self, table: Table) -> list[ColumnElement[bool]]:
        """Give the conditions that nothing in the rule's tables hangs on a row of `table` any more."""
        return [
            ~exists().where(column == table.c.id).correlate(table)
            for child in self.tables
            for column, parent in self._links(child)
            if parent is table
        ]

    def _links(self, table: Table) -> Iterator[tuple[Column[Any], Table]]:
        if table is self.root:
            return
        for key in sorted(table.foreign_keys, key=lambda key: key.parent.name):
            if key.column.table in self.tables:
                yield key.parent, key.column.table


def _chosen_by(query: Select[UUID]) -> Membership:
    return lambda column: column.in_(query)


def size_bytes(table: Table) -> ColumnElement[int]:
    """Give a row's size in bytes as it is stored, without reading content kept out of line."""
    sizes = [func.coalesce(func.pg_column_size(column), 0) for column in table.c]
    return sum(sizes[1:], start=sizes[0])


def row_date(table: Table) -> ColumnElement[Any]:
    """Give the date of a row of `table`, null where the table has none."""
    name = DATE_COLUMNS.get(table.name)
    return null() if name is None else table.c[name]
