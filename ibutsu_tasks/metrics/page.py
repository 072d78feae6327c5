"""The page of metrics, made of what was read: its names, meanings and labels."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import UTC
from typing import TYPE_CHECKING

from prometheus_client.core import GaugeMetricFamily

from ibutsu_tasks.health.metrics import PREFIX, counted, gauge
from ibutsu_tasks.retention import RULES_BY_NAME

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from prometheus_client.metrics_core import Metric

    from ibutsu_tasks.beat.state import BeatState
    from ibutsu_tasks.delivery.counts import Key
    from ibutsu_tasks.metrics.broker import BrokerNumbers
    from ibutsu_tasks.metrics.database import DatabaseNumbers
    from ibutsu_tasks.operations.prune.history import PruneRecord

FLEET_PREFIX = f"{PREFIX}fleet_"
"""Of what all workers counted together, so that it is never added to what each of them counted."""

MOST_TASKS = 100
OTHER = "other"

NONE: Mapping[str, str] = {}


def services(up: Mapping[str, bool]) -> Metric:
    """Tell which services answered."""
    meaning = "1: the service answered this scrape; at 0 its numbers are missing."
    return _gauges("up", meaning, ("service",), (((name,), is_up) for name, is_up in up.items()))


def of_broker(numbers: BrokerNumbers) -> Iterator[Metric]:
    """Give the metrics of what Redis told."""
    yield from _messages(numbers)
    yield from _workers(numbers)
    yield from counted(_bounded(numbers.totals), FLEET_PREFIX)
    yield from _beat(numbers.beat)
    yield from _prunes(numbers.prunes)


def of_database(numbers: DatabaseNumbers | None) -> Iterator[Metric]:
    """Give the metrics of what PostgreSQL told, if it did."""
    if numbers is None:
        return
    by_status = (((status,), number) for status, number in numbers.imports.items())
    yield _gauges("imports", "Imports by status, each counted up to a million.", ("status",), by_status)
    meaning = "Imports older than IBUTSU_TASKS_IMPORT_STUCK_SECONDS that have not ended, wherever they are."
    yield gauge("imports_stuck", meaning, NONE, numbers.stuck)
    yield gauge("database_size_bytes", "Size of the database on disk.", NONE, numbers.size_bytes)


def _messages(numbers: BrokerNumbers) -> Iterator[Metric]:
    waiting = (((queue, str(step)), depth) for (queue, step), depth in numbers.depths.items())
    meaning = "Messages that wait in a queue, by priority step; 0 is the highest."
    yield _gauges("queue_messages", meaning, ("queue", "priority"), waiting)
    queues = dict.fromkeys(queue for queue, _ in numbers.depths)
    ages = (((queue,), numbers.now - numbers.waiting_since.get(queue, numbers.now)) for queue in queues)
    meaning = "For how long the oldest message of a queue has been waiting; at least, where it does not say."
    yield _gauges("queue_oldest_age_seconds", meaning, ("queue",), ages)
    meaning = "Messages that workers hold: those that run, are fetched ahead or wait for their time."
    yield gauge("held_messages", meaning, NONE, numbers.held)
    meaning = "Messages set aside, which no worker could carry out."
    yield gauge("quarantined_messages", meaning, NONE, numbers.quarantined)


def _workers(numbers: BrokerNumbers) -> Iterator[Metric]:
    slots = sum(worker.slots for worker in numbers.workers)
    yield gauge("workers", "Workers with a lease; stock workers have none.", NONE, len(numbers.workers))
    yield gauge("slots", "Tasks that the workers can run at a time.", NONE, slots)
    busy = sum(worker.busy for worker in numbers.workers)
    yield gauge("busy_slots", "Tasks that run, as the workers said within the last seconds.", NONE, busy)
    consumers = Counter(queue for worker in numbers.workers for queue in set(worker.queues))
    queues = dict.fromkeys(queue for queue, _ in numbers.depths)
    meaning = "Workers that consume a queue."
    yield _gauges("queue_workers", meaning, ("queue",), (((queue,), consumers[queue]) for queue in queues))
    # What runs is acknowledged when it ends, so it is among what is held: each message counts once.
    messages = sum(numbers.depths.values()) + numbers.held
    meaning = "Messages that wait or are held, those that run among them, per slot; without slots, messages."
    yield gauge("load", meaning, NONE, messages / max(slots, 1))


def _bounded(totals: Mapping[Key, float]) -> Mapping[Key, float]:
    """Add up under one name what more tasks than can be were counted for: anybody may write to Redis."""
    tasks = sorted({key[1] for key in totals if len(key) > 1})
    known = frozenset(tasks[:MOST_TASKS])
    bounded: defaultdict[Key, float] = defaultdict(float)
    for key, value in totals.items():
        if len(key) > 1:
            bounded[key[0], key[1] if key[1] in known else OTHER, *key[2:]] += value
    return bounded


def _beat(beat: BeatState) -> Iterator[Metric]:
    yield gauge("beat_leaders", "1: a beat leads, and sends what is due.", NONE, beat.leader is not None)
    yield gauge("beat_standbys", "Beats that stand by.", NONE, len(beat.standbys))
    if beat.leader:
        yield gauge("beat_last_tick_seconds", "Since the leader was seen.", NONE, beat.leader.seen_seconds)


def _prunes(records: Iterable[PruneRecord]) -> Iterator[Metric]:
    by_rule = {record.rule: record for record in records if record.rule in RULES_BY_NAME}
    ended = {rule: record.seen.replace(tzinfo=UTC).timestamp() for rule, record in by_rule.items()}
    meaning = "When the last successful prune by a rule ended; 0: there was none."
    ends = (((rule,), ended.get(rule, 0)) for rule in RULES_BY_NAME)
    yield _gauges("prune_last_success_timestamp_seconds", meaning, ("rule",), ends)
    rows = (((rule,), record.rows) for rule, record in by_rule.items())
    yield _gauges("prune_last_success_rows", "Rows of all tables that it deleted.", ("rule",), rows)


def _gauges(
    name: str, meaning: str, labels: Iterable[str], values: Iterable[tuple[tuple[str, ...], float]]
) -> Metric:
    family = GaugeMetricFamily(PREFIX + name, meaning, labels=tuple(labels))
    for key, value in values:
        family.add_metric(key, value)
    return family
