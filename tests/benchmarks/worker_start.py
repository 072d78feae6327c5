"""The start and the memory of an idle worker, against a bare Celery worker with SQLAlchemy imported."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from tests.benchmarks.bare_worker import bare_worker
from tests.benchmarks.measuring import MEBIBYTE, Figure, interleave, pss_bytes, ratio

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from tests.benchmarks.system import Bench, BenchSystem, BenchWorker

ROUNDS = 7


def run(bench: Bench) -> list[Figure]:
    """Start each side over and over, the command `ibutsu-tasks worker` for ours."""
    memory: dict[str, list[int]] = {"ours": [], "bare": []}
    peaks: list[int] = []

    def start(side: str, system: BenchSystem) -> float:
        with _worker(side, system) as worker:
            memory[side].append(pss_bytes(*worker.pids))
            peaks.append(worker.peak_rss_bytes() if side == "ours" else 0)
            return worker.start_seconds

    with bench.system() as ours, bench.system() as bare:
        our_seconds, bare_seconds = interleave(
            lambda: start("ours", ours), lambda: start("bare", bare), rounds=ROUNDS
        )
    our_memory, bare_memory = (statistics.median(memory[side]) / MEBIBYTE for side in ("ours", "bare"))
    return [
        ratio("start to ready", our_seconds, bare_seconds, "s", at_most=1.3, peak_rss_bytes=max(peaks)),
        ratio("PSS", our_memory, bare_memory, "MiB", at_most=1.3),
    ]


def _worker(side: str, system: BenchSystem) -> AbstractContextManager[BenchWorker]:
    return system.worker("--concurrency", "1") if side == "ours" else bare_worker(system, 1)
