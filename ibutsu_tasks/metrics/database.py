"""What PostgreSQL tells of the fleet: its imports and its size."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from ibutsu_tasks.operations.imports.reconciliation import count_open
from ibutsu_tasks.operations.imports.records import STATUSES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.orm import Session

    from ibutsu_tasks.resources import Resources

STATEMENT_SECONDS = 1.5
KEPT_SECONDS = 60.0
"""What is counted is kept for a minute: a million imports take 0.05 s, or 0.5 s long before their VACUUM."""

MOST_IMPORTS = 1_000_000
"""So many of each status are counted, and not more."""

_PING = text("select 1")
_LIMIT = text(f"set local statement_timeout = '{STATEMENT_SECONDS}s'")
_IMPORTS = text("""
    select status, (select count(*) from (
        select from imports where imports.status = known.status limit :most
    ) as counted) as number
    from unnest(cast(:statuses as text[])) as known (status)
""")
_SIZE = text("select pg_database_size(current_database())")


@dataclass(frozen=True, slots=True)
class DatabaseNumbers:
    """What was read."""

    imports: Mapping[str, int]
    """By status."""
    stuck: int
    size_bytes: int


class DatabaseReader:
    """Reads the numbers; what takes long seldom."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._numbers: DatabaseNumbers | None = None
        self._until = 0.0

    def read(self) -> DatabaseNumbers | None:
        """Read; None when it answers and counting takes too long. Raises what `Resources.session` raises."""
        with self._resources.session() as session:
            session.execute(_PING)
        if time.monotonic() >= self._until:
            self._numbers = None
            # A statement over its time limit; what passes by itself or is about the schema is raised.
            with suppress(DBAPIError), self._resources.session() as session:
                session.execute(_LIMIT)
                self._numbers = _count(session, self._resources.settings.import_stuck_seconds)
            self._until = time.monotonic() + KEPT_SECONDS
        return self._numbers


def _count(session: Session, stuck_seconds: float) -> DatabaseNumbers:
    rows = session.execute(_IMPORTS, {"statuses": list(STATUSES), "most": MOST_IMPORTS})
    return DatabaseNumbers(
        imports={row.status: row.number for row in rows},
        stuck=count_open(session, stuck_seconds),
        size_bytes=session.scalar(_SIZE) or 0,
    )
