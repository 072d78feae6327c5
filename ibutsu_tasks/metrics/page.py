"""The page of metrics, made of what was read: its names, meanings and labels."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from ibutsu_tasks.health.metrics import PREFIX, counted, gauge, gauges

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from prometheus_client.metrics_core import Metric

    from ibutsu_tasks.beat.state import BeatState
    from ibutsu_tasks.delivery.counts import Key
    from ibutsu_tasks.metrics.broker import BrokerNumbers

FLEET_PREFIX = f"{PREFIX}fleet_"
"""Of what all workers counted together, so that it is never added to what each of them counted."""

MOST_TASKS = 100
OTHER = "other"

NONE: Mapping[str, str] = {}


def services(up: Mapping[str, bool]) -> Metric:
    """Tell which services answered."""
    meaning = "1: the service answered this scrape; at 0 its numbers are missing."
    return gauges("up", meaning, ("service",), (((name,), is_up) for name, is_up in up.items()))


def of_broker(numbers: BrokerNumbers) -> Iterator[Metric]:
    """Give the metrics of what Redis told."""
    yield from _messages(numbers)
    yield from _workers(numbers)
    yield from counted(_bounded(numbers.totals), FLEET_PREFIX)
    yield from _beat(numbers.beat)


def _messages(numbers: BrokerNumbers) -> Iterator[Metric]:
    waiting = (((queue, str(step)), depth) for (queue, step), depth in numbers.depths.items())
    meaning = "Messages that wait in a queue, by priority step; 0 is the highest."
    yield gauges("queue_messages", meaning, ("queue", "priority"), waiting)
    queues = dict.fromkeys(queue for queue, _ in numbers.depths)
    ages = (((queue,), numbers.now - numbers.waiting_since.get(queue, numbers.now)) for queue in queues)
    meaning = "For how long the oldest message of a queue has been waiting; at least, where it does not say."
    yield gauges("queue_oldest_age_seconds", meaning, ("queue",), ages)
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
    yield gauges("queue_workers", meaning, ("queue",), (((queue,), consumers[queue]) for queue in queues))
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
