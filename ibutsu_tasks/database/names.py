"""Names of tables, columns and indexes as SQL has them."""

from __future__ import annotations

from sqlalchemy.dialects.postgresql.base import PGDialect

# Not as psycopg2 has it, for whom each `%` is doubled: SQLAlchemy does so once more.
DIALECT = PGDialect(paramstyle="named")  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it bare


def quoted(name: str) -> str:
    """Give a name, in quotes where SQL needs them."""
    return str(DIALECT.identifier_preparer.quote(name))
