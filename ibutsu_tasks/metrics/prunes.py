"""What Redis tells of the prunes of all task packages."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING

from ibutsu_tasks.broker.layout import PRUNE_SUCCESSES_KEY
from ibutsu_tasks.health.metrics import gauges
from ibutsu_tasks.packages import loaded
from ibutsu_tasks.retention.history import parse_record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.metrics_core import Metric
    from redis import Redis


def of_prunes(client: Redis) -> Iterator[Metric]:
    """Give when the last successful prune of each rule ended, and how much it deleted."""
    rules = loaded().retention
    if not rules:
        return
    values: list[bytes] = client.hvals(PRUNE_SUCCESSES_KEY)  # type: ignore[assignment]
    records = filter(None, map(parse_record, values))
    by_rule = {record.rule: record for record in records if record.rule in rules}
    ended = {rule: record.seen.replace(tzinfo=UTC).timestamp() for rule, record in by_rule.items()}
    meaning = "When the last successful prune by a rule ended; 0: there was none."
    ends = (((rule,), ended.get(rule, 0)) for rule in rules)
    yield gauges("prune_last_success_timestamp_seconds", meaning, ("rule",), ends)
    rows = (((rule,), record.rows) for rule, record in by_rule.items())
    yield gauges("prune_last_success_rows", "Rows of all tables that it deleted.", ("rule",), rows)
