"""The indexes of tables as the catalogue has them, and what makes a missing one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import text

from ibutsu_tasks.database.names import quoted

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Column, Connection

_INDEXES = text("""
    select c.relname as table_name, i.relname as name, a.attname as leading_column,
           x.indisvalid and x.indisready and x.indislive as is_usable,
           m.amname = 'btree' and (x.indpred is null
             or pg_get_expr(x.indpred, x.indrelid) = format('(%I IS NOT NULL)', a.attname)) as finds_values
    from pg_class c
    left join pg_index x on x.indrelid = c.oid
    left join pg_class i on i.oid = x.indexrelid
    left join pg_am m on m.oid = i.relam
    left join pg_attribute a on a.attrelid = c.oid and a.attnum = x.indkey[0]
    where c.relkind in ('r', 'p') and c.relname = any(:tables) and pg_table_is_visible(c.oid)
""")


@dataclass(frozen=True, slots=True)
class Index:
    """One index. `leading_column` is None for an expression.

    `is_usable` is false while it is being built and after a build that failed: PostgreSQL then keeps it up
    to date and never reads it. `finds_values` says that it finds any value of its leading column, as no
    GIN or partial index does.
    """

    table: str
    name: str
    leading_column: str | None
    is_usable: bool
    finds_values: bool


@dataclass(frozen=True, slots=True)
class MissingIndex:
    """No usable index begins with `column`; `statement` makes one, while others read and write."""

    table: str
    column: str
    statement: str
    is_broken: bool
    """There is one, and it is being built or its build failed."""

    @property
    def problem(self) -> str:
        """Say in one sentence what is missing to a prune."""
        if self.is_broken:
            return f"the index on {self.table}.{self.column} is being built, or its build failed."
        return f"no index begins with {self.table}.{self.column}, so every batch would read the whole table."

    @property
    def remedy(self) -> str:
        """Say in one sentence what makes it."""
        return f"Run `{self.statement}` on the database; others can read and write meanwhile."


class Catalogue:
    """The indexes there are, of those of the tables asked for that exist."""

    def __init__(self, tables: Iterable[str], indexes: Iterable[Index]) -> None:
        self.tables = frozenset(tables)
        self.indexes = tuple(indexes)

    @property
    def usable_names(self) -> frozenset[str]:
        """The names of the indexes that queries can use."""
        return frozenset(index.name for index in self.indexes if index.is_usable)

    def missing(self, columns: Iterable[Column[object]]) -> tuple[MissingIndex, ...]:
        """Give those of `columns` no usable index begins with. What lacks its table lacks more than that."""
        wanted = dict.fromkeys((column.table.name, column.name) for column in columns)
        found = [self._missing(table, column) for table, column in wanted if table in self.tables]
        return tuple(filter(None, found))

    def _missing(self, table: str, column: str) -> MissingIndex | None:
        place = (table, column)
        fitting = [
            one for one in self.indexes if (one.table, one.leading_column) == place and one.finds_values
        ]
        if any(index.is_usable for index in fitting):
            return None
        name = f"ix_{table}_{column}"
        if fitting:
            statement = f"REINDEX INDEX CONCURRENTLY {quoted(fitting[0].name)}"
        else:
            is_taken = any(index.name == name for index in self.indexes)
            named = "" if is_taken else f"{quoted(name)} "
            statement = f"CREATE INDEX CONCURRENTLY {named}ON {quoted(table)} ({quoted(column)})"
        return MissingIndex(table, column, f"{statement};", bool(fitting))


def read_catalogue(connection: Connection, tables: Iterable[str]) -> Catalogue:
    """Read the indexes of these tables. Raises SQLAlchemyError."""
    rows = connection.execute(_INDEXES, {"tables": list(tables)}).all()
    indexes = [
        Index(row.table_name, row.name, row.leading_column, row.is_usable, bool(row.finds_values))
        for row in rows
        if row.name is not None
    ]
    return Catalogue((row.table_name for row in rows), indexes)
