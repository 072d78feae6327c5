"""Tables of several parts: a place in one is a place in each, and a prune cannot tell their rows apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text

from ibutsu_tasks.errors import RefusedError
from ibutsu_tasks.retention.tables import root_of, tables_with_keys

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from ibutsu_tasks.packages import RetentionRule

_OF_PARTS = text("""
    select c.relname from pg_class c
    where c.relname = any(:tables) and pg_table_is_visible(c.oid) and c.relkind in ('r', 'p')
      and (c.relkind = 'p' or exists (select from pg_inherits where inhparent = c.oid))
    order by c.relname limit 1
""")


def refuse_partitions(connection: Connection, rule: RetentionRule) -> None:
    """Raise RefusedError when a table of the rule has partitions, or others that inherit it."""
    tables = [table.name for table in tables_with_keys(root_of(rule))]
    if name := connection.scalar(_OF_PARTS, {"tables": tables}):
        raise RefusedError(
            f"{rule.name} is not pruned: {name} has partitions, or tables that inherit it.",
            "Drop or detach old partitions by hand.",
        )
