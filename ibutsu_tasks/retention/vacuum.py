"""VACUUM after a prune: room of deleted rows is free for new ones, and the planner's figures are fresh."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psycopg2
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from ibutsu_tasks.database.engine import unreachable
from ibutsu_tasks.database.names import quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from sqlalchemy import Connection, Engine

LOCK_TIMEOUT_SECONDS = 10
"""Only another VACUUM or a change of the table is waited for."""

TIME_LIMIT_SECONDS = 3600
"""Of each table. What is vacuumed when it is stopped is not lost, and autovacuum continues."""

PROBLEMS = {
    "57014": "it reached its time limit and was stopped; autovacuum does the rest",
    "55P03": "somebody else vacuums or alters the table",
}
"""By SQLSTATE: query canceled, lock not available."""


@dataclass(frozen=True, slots=True)
class Vacuumed:
    """What became of the VACUUM of a table; `problem` says why it was not done, None when it was."""

    table: str
    seconds: float
    problem: str | None = None


def vacuum(
    engine: Engine,
    tables: Iterable[str],
    on_table: Callable[[str], object],
    *,
    lock_seconds: float = LOCK_TIMEOUT_SECONDS,
    limit_seconds: float = TIME_LIMIT_SECONDS,
) -> Iterator[Vacuumed]:
    """Run VACUUM (ANALYZE) on each of these tables; `on_table` hears of each beforehand.

    Raises DatabaseUnreachableError.
    """
    try:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            # Not LOCAL, for there is no transaction; the connection is thrown away with its settings.
            try:
                connection.execute(text(f"SET lock_timeout = {round(lock_seconds * 1000)}"))
                connection.execute(text(f"SET statement_timeout = {round(limit_seconds * 1000)}"))
                for table in tables:
                    on_table(table)
                    begun = time.monotonic()
                    problem = _vacuum(connection, table)
                    yield Vacuumed(table, round(time.monotonic() - begun, 3), problem)
            finally:
                connection.invalidate()
    except (DBAPIError, psycopg2.Error) as error:
        raise unreachable(error, engine.url.render_as_string(hide_password=False)) from error


def _vacuum(connection: Connection, table: str) -> str | None:
    """Vacuum a table; give the reason when that is not done. To who may not, PostgreSQL sends a warning."""
    # Not through SQLAlchemy, which takes the server's notices away before we could read them.
    raw = connection.connection
    notices: list[str] = raw.dbapi_connection.notices  # type: ignore[union-attr]  # psycopg2's
    notices.clear()
    try:
        with closing(raw.cursor()) as cursor:
            cursor.execute(f"VACUUM (ANALYZE) {quoted(table)}")
    except psycopg2.Error as error:
        if error.pgcode is None:
            raise
        return PROBLEMS.get(error.pgcode) or str(error).partition("\n")[0]
    warnings = [notice.strip() for notice in notices if notice.startswith("WARNING:")]
    return warnings[0].removeprefix("WARNING:").strip() if warnings else None
