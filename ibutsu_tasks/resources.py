"""The connections of one process, built on first use and dropped after a fork."""

from __future__ import annotations

from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING

from ibutsu_tasks.broker.connection import build_client

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis import Redis
    from sqlalchemy import Engine
    from sqlalchemy.orm import Session

    from ibutsu_tasks.database.engine import KeptConnection
    from ibutsu_tasks.settings import Settings

BRIEF_SECONDS = 0.25
_CLIENTS = frozenset({"redis", "brief_redis", "brief_backend", "cache"})


class Resources:
    """Database engine and Redis client, from settings."""

    def __init__(self, settings: Settings, role: str) -> None:
        self.settings = settings
        self._role = role

    @cached_property
    def engine(self) -> Engine:
        """Give the connection pool. Raises SettingsError when no database is named."""
        from ibutsu_tasks.database.engine import build_engine

        return build_engine(self.settings.require_database(), f"ibutsu-tasks/{self._role}")

    @cached_property
    def kept_connection(self) -> KeptConnection:
        """Give the pool's connection for lookups; a session takes it back. Raises as `engine` does."""
        from ibutsu_tasks.database.engine import KeptConnection

        return KeptConnection(self.engine)

    @cached_property
    def redis(self) -> Redis:
        """Give the client of the broker's Redis. Raises SettingsError when none is named."""
        return build_client(self.settings.require_broker())

    @cached_property
    def brief_redis(self) -> Redis:
        """The same for what may be lost: every call ends within `BRIEF_SECONDS`."""
        return build_client(self.settings.require_broker(), BRIEF_SECONDS)

    @cached_property
    def brief_backend(self) -> Redis:
        """The like of the Redis of the task results."""
        url = self.settings.backend_url or self.settings.require_broker()
        return self.brief_redis if url == self.settings.broker_url else build_client(url, BRIEF_SECONDS)

    @cached_property
    def cache(self) -> Redis:
        """Give the client of the Redis for what tasks keep for a while. Raises as `redis` does."""
        url = self.settings.cache_url or self.settings.require_broker()
        return self.redis if url == self.settings.broker_url else build_client(url)

    @contextmanager
    def session(self) -> Iterator[Session]:
        """Run one transaction: commit on success, rollback on error, always closed.

        Raises DatabaseUnreachableError in place of every driver error that a second try may cure, and
        DatabaseSchemaError when a table, a column or a permission is missing.
        """
        from sqlalchemy.orm import Session

        from ibutsu_tasks.database.engine import told_apart

        self._give_back()
        with (
            told_apart(self.settings.require_database()),
            Session(self.engine, expire_on_commit=False) as session,
            session.begin(),
        ):
            yield session

    def close(self) -> None:
        """Close every connection."""
        self._give_back()
        if "engine" in self.__dict__:
            self.engine.dispose()
        for name in _CLIENTS & self.__dict__.keys():
            self.__dict__[name].close()
        self._forget()

    def drop_after_fork(self) -> None:
        """Forget the parent's connections without touching its sockets."""
        if "engine" in self.__dict__:
            self.engine.dispose(close=False)
        self._forget()

    def _give_back(self) -> None:
        if "kept_connection" in self.__dict__:
            self.kept_connection.give_back()

    def _forget(self) -> None:
        for name in ("kept_connection", "engine", *_CLIENTS):
            self.__dict__.pop(name, None)
