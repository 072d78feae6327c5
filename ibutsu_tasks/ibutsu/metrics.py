"""The metrics that Ibutsu adds to those of every fleet: its prunes and its imports."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING

from sqlalchemy import text

from ibutsu_tasks.broker.layout import PRUNE_SUCCESSES_KEY
from ibutsu_tasks.health.metrics import gauge, gauges
from ibutsu_tasks.ibutsu.operations.imports.reconciliation import count_open
from ibutsu_tasks.ibutsu.operations.imports.records import STATUSES
from ibutsu_tasks.ibutsu.operations.prune.history import parse_record
from ibutsu_tasks.ibutsu.retention import RULES_BY_NAME
from ibutsu_tasks.ibutsu.settings import IMPORT_STUCK_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.metrics_core import Metric
    from redis import Redis
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


def of_broker(client: Redis) -> Iterator[Metric]:
    """Give when the last successful prune of each rule ended, and how much it deleted."""
    values: list[bytes] = client.hvals(PRUNE_SUCCESSES_KEY)  # type: ignore[assignment]
    records = filter(None, map(parse_record, values))
    by_rule = {record.rule: record for record in records if record.rule in RULES_BY_NAME}
    ended = {rule: record.seen.replace(tzinfo=UTC).timestamp() for rule, record in by_rule.items()}
    meaning = "When the last successful prune by a rule ended; 0: there was none."
    ends = (((rule,), ended.get(rule, 0)) for rule in RULES_BY_NAME)
    yield gauges("prune_last_success_timestamp_seconds", meaning, ("rule",), ends)
    rows = (((rule,), record.rows) for rule, record in by_rule.items())
    yield gauges("prune_last_success_rows", "Rows of all tables that it deleted.", ("rule",), rows)


def of_database(session: Session, settings: Settings) -> Iterator[Metric]:
    """Count the imports."""
    rows = session.execute(_IMPORTS, {"statuses": list(STATUSES), "most": MOST_IMPORTS})
    by_status = [((row.status,), row.number) for row in rows]
    yield gauges("imports", "Imports by status, each counted up to a million.", ("status",), by_status)
    meaning = "Imports older than IBUTSU_TASKS_IMPORT_STUCK_SECONDS that have not ended, wherever they are."
    stuck = count_open(session, settings.value(IMPORT_STUCK_SECONDS))
    yield gauge("imports_stuck", meaning, {}, stuck)
