"""What a process counts of itself, as Prometheus reads it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from ibutsu_tasks.health.questions import LIVE, READY, answer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ibutsu_tasks.health.heartbeat import Heartbeat

PREFIX = "ibutsu_tasks_"

finished: Counter[tuple[str, str]] = Counter()
"""The tasks that ended in this process, by name and outcome."""


def text(heartbeat: Heartbeat, now: float) -> str:
    """Give the page."""
    is_live, is_ready = (answer(question, heartbeat, now).holds for question in (LIVE, READY))
    labels = f'{{role="{_quoted(heartbeat.role)}",node="{_quoted(heartbeat.node)}"}}'
    lines = [
        *_metric("up", "gauge", "1: the process answers.", {labels: 1}),
        *_metric("live", "gauge", "1: its loop turns.", {labels: is_live}),
        *_metric("ready", "gauge", "1: it does its work.", {labels: is_ready}),
        *_metric("last_tick_seconds", "gauge", "Since its loop turned.", {labels: now - heartbeat.ticked}),
    ]
    if heartbeat.is_connected is not None:
        connected = {labels: heartbeat.is_connected}
        lines += _metric("broker_connected", "gauge", "1: it has a connection to the broker.", connected)
    if heartbeat.role == "worker":
        lines += _metric("running_tasks", "gauge", "Tasks it runs.", {labels: heartbeat.running})
        lines += _metric("finished_tasks_total", "counter", "Tasks that ended here.", _by_outcome())
    return "\n".join([*lines, ""])


def _by_outcome() -> dict[str, float]:
    return {
        f'{{task="{_quoted(task)}",outcome="{_quoted(outcome)}"}}': number
        for (task, outcome), number in sorted(finished.copy().items())
    }


def _metric(name: str, kind: str, meaning: str, values: Mapping[str, float]) -> Iterator[str]:
    yield f"# HELP {PREFIX}{name} {meaning}"
    yield f"# TYPE {PREFIX}{name} {kind}"
    yield from (f"{PREFIX}{name}{labels} {value:.15g}" for labels, value in values.items())


def _quoted(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
