"""Metrics as Prometheus reads them: those of a process, and what workers count of their tasks."""

from __future__ import annotations

from collections import defaultdict
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

from prometheus_client import generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

from ibutsu_tasks.delivery.counts import BUCKET_LABELS, DURATION, METRICS, SUM, counts
from ibutsu_tasks.health.questions import LIVE, READY, answer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from prometheus_client.metrics_core import Metric

    from ibutsu_tasks.delivery.counts import Key
    from ibutsu_tasks.health.heartbeat import Heartbeat

PREFIX = "ibutsu_tasks_"

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class _Page(NamedTuple):
    """Metrics in the place of a registry, which this process has no use for."""

    metrics: Iterable[Metric]

    def collect(self) -> Iterable[Metric]:
        return self.metrics


def text(metrics: Iterable[Metric]) -> str:
    """Give a page of metrics in the format of Prometheus' text."""
    return generate_latest(_Page(metrics)).decode()


def gauge(name: str, meaning: str, labels: Mapping[str, str], value: float) -> Metric:
    """Give a gauge of one sample."""
    family = GaugeMetricFamily(PREFIX + name, meaning, labels=list(labels))
    family.add_metric(list(labels.values()), value)
    return family


def of_process(heartbeat: Heartbeat, now: float) -> Iterator[Metric]:
    """Give the metrics of a process from its heartbeat; of a worker also what it counted."""
    is_live, is_ready = (answer(question, heartbeat, now).holds for question in (LIVE, READY))
    labels = {"role": heartbeat.role, "node": heartbeat.node}
    yield gauge("up", "1: the process answers.", labels, 1)
    yield gauge("live", "1: its loop turns.", labels, is_live)
    yield gauge("ready", "1: it does its work.", labels, is_ready)
    yield gauge("last_tick_seconds", "Since its loop turned.", labels, now - heartbeat.ticked)
    if heartbeat.is_connected is not None:
        told = "1: it has a connection to the broker."
        yield gauge("broker_connected", told, labels, heartbeat.is_connected)
    if heartbeat.role == "worker":
        yield gauge("running_tasks", "Tasks it runs.", labels, heartbeat.running)
        yield from counted(counts.copy(), PREFIX)


def gauges(
    name: str, meaning: str, labels: Iterable[str], values: Iterable[tuple[tuple[str, ...], float]]
) -> Metric:
    """Give one metric with a value for each tuple of labels' values."""
    family = GaugeMetricFamily(PREFIX + name, meaning, labels=tuple(labels))
    for key, value in values:
        family.add_metric(key, value)
    return family


def counted(values: Mapping[Key, float], prefix: str) -> Iterator[Metric]:
    """Give what workers count of their tasks; a key that is none of theirs is left out."""
    by_metric: defaultdict[str, dict[Key, float]] = defaultdict(dict)
    for (metric, *rest), value in sorted(values.items()):
        by_metric[metric][tuple(rest)] = value
    for name, (labels, meaning) in METRICS.items():
        if name == DURATION:
            yield _durations(HistogramMetricFamily(prefix + name, meaning, labels=labels), by_metric[name])
            continue
        family = CounterMetricFamily(prefix + name, meaning, labels=labels)
        for key, value in by_metric[name].items():
            if len(key) == len(labels):
                family.add_metric(key, value)
        yield family


def _durations(family: HistogramMetricFamily, values: Mapping[Key, float]) -> Metric:
    labels = len(METRICS[DURATION].labels)
    for key in sorted({key[:labels] for key in values if len(key) == labels + 1}):
        numbers = accumulate(values.get((*key, bucket), 0) for bucket in BUCKET_LABELS)
        family.add_metric(key, list(zip(BUCKET_LABELS, numbers, strict=True)), values.get((*key, SUM), 0))
    return family
