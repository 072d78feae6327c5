"""The metrics that Ibutsu adds to those of every fleet: its imports."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text

from ibutsu_tasks.health.metrics import gauge, gauges
from ibutsu_tasks.ibutsu.operations.imports.reconciliation import count_open
from ibutsu_tasks.ibutsu.operations.imports.records import STATUSES
from ibutsu_tasks.ibutsu.settings import IMPORT_STUCK_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.metrics_core import Metric
    from sqlalchemy.orm import Session

    from ibutsu_tasks.settings import Settings

MOST_IMPORTS = 1_000_000
"""So many of each status are counted, and not more: that takes 0.05 s, or 0.5 s long before their VACUUM."""

_IMPORTS = text("""
    select status, (select count(*) from (
        select from imports where imports.status = known.status limit :most
    ) as counted) as number
    from unnest(cast(:statuses as text[])) as known (status)
""")


def of_database(session: Session, settings: Settings) -> Iterator[Metric]:
    """Count the imports."""
    rows = session.execute(_IMPORTS, {"statuses": list(STATUSES), "most": MOST_IMPORTS})
    by_status = [((row.status,), row.number) for row in rows]
    yield gauges("imports", "Imports by status, each counted up to a million.", ("status",), by_status)
    meaning = "Imports older than IBUTSU_TASKS_IMPORT_STUCK_SECONDS that have not ended, wherever they are."
    stuck = count_open(session, settings.value(IMPORT_STUCK_SECONDS))
    yield gauge("imports_stuck", meaning, {}, stuck)
