"""CPU seconds a minute of a worker that has nothing to do, against a bare Celery worker."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING

import psutil

from tests.benchmarks.bare_worker import bare_worker, our_worker
from tests.benchmarks.measuring import Figure, ratio

if TYPE_CHECKING:
    from tests.benchmarks.system import Bench, BenchWorker

ROUNDS = 5
SECONDS = 30.0
SETTLE_SECONDS = 5.0


def run(bench: Bench) -> list[Figure]:
    """Let both idle side by side: whatever slows the machine slows both."""
    with (
        bench.system() as ours,
        bench.system() as bare,
        our_worker(ours, 1) as our_running,
        bare_worker(bare, 1) as bare_running,
    ):
        time.sleep(SETTLE_SECONDS)
        pairs = [_measure(our_running, bare_running) for _ in range(ROUNDS)]
        peak_bytes = our_running.peak_rss_bytes()
    our_seconds, bare_seconds = (statistics.median(pair[side] for pair in pairs) for side in (0, 1))
    return [ratio("CPU a minute", our_seconds, bare_seconds, "s", at_most=1.5, peak_rss_bytes=peak_bytes)]


def _measure(*workers: BenchWorker) -> list[float]:
    before = [_cpu_seconds(worker) for worker in workers]
    time.sleep(SECONDS)
    after = [_cpu_seconds(worker) for worker in workers]
    return [(late - early) * 60 / SECONDS for early, late in zip(before, after, strict=True)]


def _cpu_seconds(worker: BenchWorker) -> float:
    times = [psutil.Process(pid).cpu_times() for pid in worker.pids]
    return sum(one.user + one.system for one in times)
