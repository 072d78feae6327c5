"""The connection pool, one connection per process, that never waits for ever; and what its errors mean."""

from __future__ import annotations

import select
import socket
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import psycopg2
from psycopg2 import extensions
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from ibutsu_tasks.database.silence import WatchedConnection
from ibutsu_tasks.errors import DatabaseSchemaError, DatabaseUnreachableError
from ibutsu_tasks.settings.masking import Masker
from ibutsu_tasks.temporary_errors import is_temporary, why_temporary

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import URL, PoolProxiedConnection
    from sqlalchemy.orm import Session

CONNECT_TIMEOUT_SECONDS = 5
SILENT_PEER_TIMEOUT_MILLISECONDS = 30_000
"""A peer whose host takes nothing any more is given up after this; `silence.py` knows the others."""

LOCK_TIMEOUT_SECONDS = 10
"""Most transactions take less; behind a longer one, such as a large import, the task is tried again."""

SCHEMA_SQLSTATES = frozenset({"42P01", "42703", "42501"})
"""Undefined table, undefined column, insufficient privilege."""

# Sent as one text, the two are one transaction and one round trip.
_WAIT_LITTLE = f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT_SECONDS}s'; "


def build_engine(database_url: str, application_name: str) -> Engine:
    """Describe the pool; nothing connects before first use.

    One connection and one spare: a process runs one task at a time. `application_name` (at most 63
    characters count) is what `pg_stat_activity` shows.
    """
    return create_engine(
        make_url(database_url),
        pool_size=1,
        max_overflow=1,
        pool_timeout=CONNECT_TIMEOUT_SECONDS,
        pool_pre_ping=True,
        # Bound values of a failing statement are user data and may hold secrets.
        hide_parameters=True,
        connect_args={
            "connection_factory": WatchedConnection,
            "connect_timeout": CONNECT_TIMEOUT_SECONDS,
            "application_name": f"{application_name}@{socket.gethostname()}"[:63],
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "tcp_user_timeout": SILENT_PEER_TIMEOUT_MILLISECONDS,
        },
    )


class KeptConnection:
    """The one connection of this process, kept for lookups until a transaction needs it.

    What a transaction costs is too much for a glance.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._connection: PoolProxiedConnection | None = None

    def may_find(self, query: str, *values: object) -> bool:
        """Say False when `query`, with psycopg2's placeholders, finds no row; True also when it cannot tell.

        An error is left to the transaction that follows: it meets the same one and knows its sentence.
        """
        try:
            if self._connection is None:
                self._connection = self._engine.raw_connection()
                self._set_autocommit(is_on=True)
            with closing(self._connection.cursor()) as cursor:
                cursor.execute(_WAIT_LITTLE + query, values)
                return cursor.fetchone() is not None
        except (psycopg2.Error, SQLAlchemyError):
            if self._connection is not None:
                self._connection.invalidate()
                self._connection = None
            return True

    def give_back(self) -> None:
        """Return the connection to the pool."""
        if self._connection is not None:
            self._set_autocommit(is_on=False)
            self._connection.close()
            self._connection = None

    def _set_autocommit(self, *, is_on: bool) -> None:
        driver_connection: Any = self._connection and self._connection.driver_connection
        driver_connection.autocommit = is_on


@contextmanager
def interruptible() -> Iterator[None]:
    """Let KeyboardInterrupt end the statement of the block that runs, here and on the server.

    Otherwise it is raised when the statement has ended. Holds for every connection of the process; none of
    them can COPY meanwhile.
    """
    extensions.set_wait_callback(_wait)
    try:
        yield
    finally:
        extensions.set_wait_callback(None)


def _wait(connection: Any) -> None:
    """Wait until a statement has ended, as psycopg2 asks; an exception closes the connection."""
    try:
        while (state := connection.poll()) != extensions.POLL_OK:
            is_read = state == extensions.POLL_READ
            select.select([connection] if is_read else [], [] if is_read else [connection], [])
    except KeyboardInterrupt:
        connection.cancel()
        raise


def limit_lock_wait(session: Session) -> None:
    """Make every wait for a lock, in this transaction, end after a while with a temporary error."""
    session.execute(text(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT_SECONDS}s'"))


@contextmanager
def told_apart(database_url: str) -> Iterator[None]:
    """Raise DatabaseUnreachableError in place of every driver error that a second try may cure.

    And DatabaseSchemaError when a table, a column or a permission is missing.
    """
    try:
        yield
    except (DBAPIError, PoolTimeoutError) as error:
        if is_temporary(error):
            raise unreachable(error, database_url) from error
        if fault := schema_fault(error, database_url):
            raise fault from error
        raise


def unreachable(error: BaseException, database_url: str) -> DatabaseUnreachableError:
    """Turn a driver's error into a sentence that names the host and why, without the password."""
    original = getattr(error, "orig", None) or error
    said = " ".join(str(original).split()) or type(original).__name__
    safely_said = Masker([database_url]).mask(said)
    reason = f" ({why})" if (why := why_temporary(error)) else ""
    return DatabaseUnreachableError(
        f"PostgreSQL at {place_of(database_url)} did not work: {safely_said}{reason}"
    )


def schema_fault(error: BaseException, database_url: str) -> DatabaseSchemaError | None:
    """Turn a driver's error about a missing table, column or permission into a sentence; None for others."""
    original = getattr(error, "orig", None)
    if getattr(original, "pgcode", None) not in SCHEMA_SQLSTATES:
        return None
    reason = str(original).partition("\n")[0]
    return DatabaseSchemaError(f"The database at {place_of(database_url)} is not as it should be: {reason}.")


def place_of(database_url: str | URL) -> str:
    """Name host and database, without credentials."""
    place = place_as_json(database_url)
    database = f"database {place['name']}" if place["name"] else "the default database of its user"
    return f"{place['host']} ({database})"


def place_as_json(database_url: str | URL) -> dict[str, str]:
    """Give `host`, as `host:port` or the directory of a socket, and the `name` of the database.

    Several hosts have commas between them; the name is empty where the URL has none.
    """
    url = make_url(database_url)
    hosts = url.normalized_query.get("host") or (f"{url.host or 'localhost'}:{url.port or 5432}",)
    (name, *_) = (url.database,) if url.database else url.normalized_query.get("dbname", ("",))
    return {"host": ", ".join(hosts), "name": name}
