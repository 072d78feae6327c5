"""Messages a second that find nothing to do, against a bare Celery application and a no-op task."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING
from uuid import uuid4

from tests.benchmarks.bare_worker import bare_worker, our_worker
from tests.benchmarks.measuring import Figure, interleave, ratio
from tests.worker_system import message_text

if TYPE_CHECKING:
    from tests.benchmarks.system import Bench, BenchSystem

MESSAGES, TURNS, WARM_UPS = 5000, 10, 300
ROUNDS = 2 * TURNS
"""Turns of a second and a half: a machine that is slow for ten seconds is so to both sides."""

POLL_SECONDS = 0.01
TIMEOUT_SECONDS = 300


def run(bench: Bench) -> list[Figure]:
    """Measure with one process and with two."""
    return [_measure(bench, 1, "one process"), _measure(bench, 2, "two processes")]


def _measure(bench: Bench, processes: int, label: str) -> Figure:
    with (
        bench.system() as ours,
        bench.system() as bare,
        our_worker(ours, processes) as our_running,
        bare_worker(bare, processes),
    ):
        for system in (ours, bare):
            _rate(system, WARM_UPS)
        our_rate, bare_rate = interleave(
            lambda: _rate(ours, MESSAGES // TURNS), lambda: _rate(bare, MESSAGES // TURNS), rounds=ROUNDS
        )
        peak_bytes = our_running.peak_rss_bytes()
    return ratio(label, our_rate, bare_rate, "/s", at_least=0.9, peak_rss_bytes=peak_bytes)


def _rate(system: BenchSystem, messages: int) -> float:
    """Give the messages a second, from their arrival all at once to the last one's acknowledgement."""
    system.client.lpush("on-their-way", *(_message() for _ in range(messages)))
    start = time.perf_counter()
    system.client.rename("on-their-way", "celery")
    while not (_is_idle(system) and len(results := _results(system)) == messages):
        assert time.perf_counter() - start < TIMEOUT_SECONDS, "the messages are not worked off"
        time.sleep(POLL_SECONDS)
    rate = messages / (time.perf_counter() - start)
    system.client.unlink(*results)
    return rate


def _message() -> str:
    return message_text("runs.update_run", json.dumps(str(uuid4())))[1]


def _is_idle(system: BenchSystem) -> bool:
    # For a moment, a message that is taken is in neither.
    pipeline = system.client.pipeline()
    pipeline.llen("celery").hlen("unacked")
    return not any(pipeline.execute())


def _results(system: BenchSystem) -> list[bytes]:
    return list(system.client.scan_iter("celery-task-meta-*", count=1000))
