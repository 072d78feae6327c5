"""A pooled connection kept from one lookup to the next: what a transaction costs is too much for a glance."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import psycopg2
from sqlalchemy.exc import SQLAlchemyError

from ibutsu_tasks.database.engine import LOCK_TIMEOUT_SECONDS

if TYPE_CHECKING:
    from sqlalchemy import Engine, PoolProxiedConnection

# Sent as one text, the two are one transaction and one round trip.
_WAIT_LITTLE = f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT_SECONDS}s'; "


class KeptConnection:
    """The one connection of this process, outside of transactions, until a transaction needs it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._connection: PoolProxiedConnection | None = None

    def may_find(self, query: str, *values: object) -> bool:
        """Say False when `query`, with psycopg2's placeholders, finds no row; True also when it cannot tell.

        An error is left to the transaction that follows: it meets the same one and knows its sentence.
        """
        try:
            with closing(self._take().cursor()) as cursor:
                cursor.execute(_WAIT_LITTLE + query, values)
                return cursor.fetchone() is not None
        except (psycopg2.Error, SQLAlchemyError):
            self._discard()
            return True

    def give_back(self) -> None:
        """Return the connection to the pool."""
        if self._connection is not None:
            _autocommit(self._connection, is_on=False)
            self._connection.close()
            self._connection = None

    def _take(self) -> PoolProxiedConnection:
        if self._connection is None:
            self._connection = self._engine.raw_connection()
            _autocommit(self._connection, is_on=True)
        return self._connection

    def _discard(self) -> None:
        if self._connection is not None:
            self._connection.invalidate()
            self._connection = None


def _autocommit(connection: PoolProxiedConnection, *, is_on: bool) -> None:
    driver_connection: Any = connection.driver_connection
    driver_connection.autocommit = is_on
