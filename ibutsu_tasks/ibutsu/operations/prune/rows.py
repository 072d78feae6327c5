"""Rows of a table with all that depends on them by foreign keys, as batches of a prune take them.

What depends on what is read from the models.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import (
    Column,
    ColumnClause,
    ColumnElement,
    Select,
    Table,
    Text,
    cast,
    func,
    literal_column,
    null,
    select,
)

from ibutsu_tasks.ibutsu.database.models import AmongKeys, Base

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from sqlalchemy.orm import Session


class RowKey(NamedTuple):
    """Where a row of the rule's table stands among the due ones: the oldest first.

    The date is PostgreSQL's text: Python has no value for one before Christ.
    """

    date: str
    id: UUID


def tables_with_keys(root: Table) -> dict[Table, list[tuple[Column[Any], Table]]]:
    """Give `root` and the tables whose rows go with its rows, parents before dependants.

    Each comes with its columns that refer to a table before it, and with that table.
    """
    found: dict[Table, list[tuple[Column[Any], Table]]] = {root: []}
    for table in Base.metadata.sorted_tables:
        keys = [(key.parent, key.column.table) for key in table.foreign_keys if key.column.table in found]
        if table is not root and keys:
            found[table] = sorted(keys, key=lambda key: key[0].name)
    return found


class Rows(ABC):
    """Rows of one table, and every row that depends on one of them by a foreign key."""

    in_order = True
    """Whether `next_roots` gives rows after a given one."""

    @property
    def keeps_some(self) -> bool:
        """Whether `next_roots` passes over rows."""
        return False

    @property
    @abstractmethod
    def root(self) -> Table:
        """The table that decides."""

    @property
    @abstractmethod
    def root_date(self) -> ColumnElement[Any]:
        """The date of a row of it."""

    @abstractmethod
    def are_taken(self) -> ColumnElement[bool]:
        """Give the condition on a row of the table that decides."""

    @abstractmethod
    def next_roots(
        self, after: RowKey | None, limit: int, window: int | None = None
    ) -> Select[*tuple[Any, ...]]:
        """Select `place`, `date` and `id` of the next rows of the table that decides.

        With a `window` no more rows are looked at.
        """

    def end_of_window(self, after: RowKey | None, window: int) -> Select[*tuple[Any, ...]]:
        """Select `date` and `id` of the last row that `next_roots` looks at; none where the rows end."""
        raise NotImplementedError

    @cached_property
    def keys(self) -> Mapping[Table, Sequence[tuple[Column[Any], Table]]]:
        """By table, the columns that make its rows dependants, each with the table it refers to."""
        return tables_with_keys(self.root)

    @property
    def tables(self) -> tuple[Table, ...]:
        """The table that decides and those whose rows go with it, parents before dependants."""
        return tuple(self.keys)

    def conditions(self, table: Table, parents: Mapping[Table, AmongKeys]) -> list[ColumnElement[bool]]:
        """Give the conditions on a row of `table`; it is taken when any of them holds."""
        if table is self.root:
            return [self.are_taken()]
        return [parents[parent](column) for column, parent in self.keys[table]]

    def choose(self, session: Session, after: RowKey | None, limit: int) -> list[RowKey]:
        """Give the next rows of the table that decides, without locking them."""
        found = self.next_roots(after, limit).subquery()
        query = select(cast(found.c.date, Text), found.c.id).order_by(found.c.date, found.c.id)
        return [RowKey(*row) for row in session.execute(query).all()]

    def dependants(self, root_id: UUID) -> list[Dependants]:
        """Give the rows that depend directly on this row of the table that decides."""
        return [
            Dependants(self, root_id, column)
            for keys in self.keys.values()
            for column, parent in keys
            if parent is self.root
        ]


@dataclass(frozen=True)
class Dependants(Rows):
    """The rows that depend by `column` on one row, with their own dependants, while that row is taken.

    Who deletes some locks that row.
    """

    in_order = False

    parents: Rows
    parent_id: UUID
    column: Column[Any]

    @property
    def root(self) -> Table:
        """The dependants' table."""
        return self.column.table

    @property
    def root_date(self) -> ColumnElement[Any]:
        """None: they go with what they depend on."""
        return cast(null(), Text)

    def are_taken(self) -> ColumnElement[bool]:
        """Give the condition on a dependant."""
        parent_id = self.parents.root.c.id
        parent = select(parent_id).where(parent_id == self.parent_id, self.parents.are_taken())
        return self.column == parent.with_for_update(skip_locked=True).scalar_subquery()

    def next_roots(
        self,
        after: RowKey | None,  # noqa: ARG002 - they have no order
        limit: int,
        window: int | None = None,  # noqa: ARG002 - and none is passed over
    ) -> Select[*tuple[Any, ...]]:
        """Select `place`, `date` and `id` of some of them."""
        columns = (place_of(self.root).label("place"), self.root_date.label("date"), self.root.c.id)
        return select(*columns).where(self.are_taken()).limit(limit)


def chosen_by(query: Select[UUID]) -> AmongKeys:
    """Take the parents whose ids this query gives."""
    return lambda column: column.in_(query)


def place_of(table: Table) -> ColumnClause[Any]:
    """Give the place of a row of `table`, which holds while nobody changes the row."""
    return literal_column(f"{table.name}.ctid")


def size_bytes(table: Table) -> ColumnElement[int]:
    """Give a row's size in bytes as it is stored, without reading content kept out of line."""
    sizes = [func.coalesce(func.pg_column_size(column), 0) for column in table.c]
    return sum(sizes[1:], start=sizes[0])
