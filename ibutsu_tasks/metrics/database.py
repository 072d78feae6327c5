"""What PostgreSQL tells of the fleet: its size, and what the task packages count."""

from __future__ import annotations

import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from ibutsu_tasks.health.metrics import gauge
from ibutsu_tasks.metrics.of_packages import Isolation
from ibutsu_tasks.packages import loaded

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.metrics_core import Metric
    from sqlalchemy.orm import Session

    from ibutsu_tasks.resources import Resources

STATEMENT_SECONDS = 1.5
KEPT_SECONDS = 60.0
"""What is counted is kept for a minute: counting a million rows takes up to half a second."""

_PING = text("select 1")
_LIMIT = text(f"set local statement_timeout = '{STATEMENT_SECONDS}s'")
_SIZE = text("select pg_database_size(current_database())")


def _is_the_database_s(error: Exception) -> bool:
    return isinstance(error, DBAPIError)


class DatabaseReader:
    """Reads the numbers; what takes long seldom."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._metrics: tuple[Metric, ...] = ()
        self._until = 0.0
        self._isolation = Isolation(_is_the_database_s, lambda error: resources.settings.mask(repr(error)))

    def read(self) -> tuple[Metric, ...]:
        """Read; nothing when counting takes too long. Raises what `Resources.session` raises."""
        with self._resources.session() as session:
            session.execute(_PING)
        if time.monotonic() >= self._until:
            self._metrics = ()
            # A statement over its time limit; what passes by itself or is about the schema is raised.
            with suppress(DBAPIError), self._resources.session() as session:
                session.execute(_LIMIT)
                self._metrics = tuple(self._count(session))
            self._until = time.monotonic() + KEPT_SECONDS
        return self._metrics

    def _count(self, session: Session) -> Iterator[Metric]:
        size_bytes = session.scalar(_SIZE) or 0
        yield gauge("database_size_bytes", "Size of the database on disk.", {}, size_bytes)
        for package, count in loaded().each("database_metrics"):
            counted = partial(count, session, self._resources.settings)
            yield from self._isolation.read(f"package {package.name}", counted)
