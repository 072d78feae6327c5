"""Rows of a table with all that depends on them by foreign keys, as batches of a prune take them.

What depends on what is read from the models.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import (
    ColumnClause,
    ColumnElement,
    Select,
    Table,
    Text,
    cast,
    func,
    literal,
    literal_column,
    null,
    select,
)

from ibutsu_tasks.database.names import quoted
from ibutsu_tasks.retention.tables import key_of, tables_with_keys

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sqlalchemy import Column
    from sqlalchemy.orm import Session

    from ibutsu_tasks.retention.tables import Key

    AmongKeys = Callable[[ColumnElement[Any]], ColumnElement[bool]]
    """Turns a column that holds a key into the condition that the key is among those taken."""


class RowKey(NamedTuple):
    """Where a row of the rule's table stands among the due ones: the oldest first.

    Both are PostgreSQL's text: Python has no value for a date before Christ, which may be the key, too.
    """

    date: str
    id: str


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
    def id(self) -> ColumnElement[Any]:
        """The key of a row of it, as `id`."""
        return key_of(self.root).label("id")

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
    def keys(self) -> Mapping[Table, Sequence[Key]]:
        """By table, the columns that make its rows dependants, each with the table it refers to."""
        return tables_with_keys(self.root)

    @property
    def tables(self) -> tuple[Table, ...]:
        """The table that decides and those whose rows go with it, parents before dependants."""
        return tuple(self.keys)

    @property
    def names(self) -> list[str]:
        """The names of these tables."""
        return [table.name for table in self.tables]

    def conditions(self, table: Table, parents: Mapping[Table, AmongKeys]) -> list[ColumnElement[bool]]:
        """Give the conditions on a row of `table`; it is taken when any of them holds."""
        if table is self.root:
            return [self.are_taken()]
        return [parents[parent](column) for column, parent in self.keys[table]]

    def choose(self, session: Session, after: RowKey | None, limit: int) -> list[RowKey]:
        """Give the next rows of the table that decides, without locking them."""
        found = self.next_roots(after, limit).subquery()
        columns = (cast(found.c.date, Text), cast(found.c.id, Text))
        query = select(*columns).order_by(found.c.date, found.c.id)
        return [RowKey(*row) for row in session.execute(query).all()]

    def dependants(self, root_id: str) -> list[Dependants]:
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
    parent_id: str
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
        key = key_of(self.parents.root)
        parent = select(key).where(key == value_of(key, self.parent_id), self.parents.are_taken())
        return self.column == parent.with_for_update(skip_locked=True).scalar_subquery()

    def next_roots(
        self,
        after: RowKey | None,  # noqa: ARG002 - they have no order
        limit: int,
        window: int | None = None,  # noqa: ARG002 - and none is passed over
    ) -> Select[*tuple[Any, ...]]:
        """Select `place`, `date` and `id` of some of them."""
        columns = (place_of(self.root).label("place"), self.root_date.label("date"), self.id)
        return select(*columns).where(self.are_taken()).limit(limit)


def value_of(column: ColumnElement[Any], text: str) -> ColumnElement[Any]:
    """Give the value of a column's type that PostgreSQL's text of it means."""
    return cast(literal(text, Text()), column.type)


def chosen_by(query: Select[Any]) -> AmongKeys:
    """Take the parents whose ids this query gives."""
    return lambda column: column.in_(query)


def place_of(table: Table) -> ColumnClause[Any]:
    """Give the place of a row of `table`, which holds while nobody changes the row."""
    return literal_column(f"{quoted(table.name)}.ctid")


def size_bytes(table: Table) -> ColumnElement[int]:
    """Give a row's size in bytes as it is stored, without reading content kept out of line."""
    sizes = [func.coalesce(func.pg_column_size(column), 0) for column in table.c]
    return sum(sizes[1:], start=sizes[0])
