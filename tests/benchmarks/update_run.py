"""`update_run` of a large run against the one grouped query it cannot do without."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from sqlalchemy import text

from tests.benchmarks.measuring import (
    MEBIBYTE,
    Figure,
    interleave,
    peak_rss_bytes,
    ratio,
    reset_peak_rss,
    rss_bytes,
    seconds,
    single,
)
from tests.benchmarks.stored_runs import store_runs

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy import Connection

    from tests.benchmarks.system import Bench, BenchSystem, BenchWorker

RESULTS, ROUNDS, WARM_UPS = 10_000, 15, 3

GROUPED_QUERY = "select result, count(*), sum(duration) from results where run_id = :id group by result"


def run(bench: Bench) -> list[Figure]:
    """Measure the time in the worker, as the worker itself tells it, and its growth."""
    with bench.system() as system:
        (run_id,) = store_runs(system.engine, 1, RESULTS, told=0)
        with system.worker() as worker, system.engine.connect() as connection:
            return _measure(system, worker, connection, run_id)


def _measure(system: BenchSystem, worker: BenchWorker, connection: Connection, run_id: UUID) -> list[Figure]:
    for _ in range(WARM_UPS):
        _task_seconds(system, worker, run_id)
        _query_seconds(connection, run_id)
    (child,) = worker.child_pids
    before_bytes = rss_bytes(child)
    reset_peak_rss(child)
    ours, limit = interleave(
        lambda: _task_seconds(system, worker, run_id),
        lambda: _query_seconds(connection, run_id),
        rounds=ROUNDS,
    )
    peak_bytes = peak_rss_bytes(child)
    growth = (peak_bytes - before_bytes) / MEBIBYTE
    return [
        ratio("grouped query", ours, limit, "s", at_most=5, peak_rss_bytes=peak_bytes),
        single("in the worker", ours * 1000, "ms", at_most=30),
        single("RSS growth", growth, "MiB", at_most=5),
    ]


def _query_seconds(connection: Connection, run_id: UUID) -> float:
    return seconds(lambda: connection.execute(text(GROUPED_QUERY), {"id": run_id}).all())


def _task_seconds(system: BenchSystem, worker: BenchWorker, run_id: UUID) -> float:
    # A request that follows another at once would wait for the end of their burst.
    system.client.delete(f"ibutsu-tasks:run-pass:{run_id}")
    task_id = system.publish("runs.update_run", str(run_id))
    result = json.loads(system.wait_for_result(task_id))["result"]
    assert result["tests"] == RESULTS, result
    return worker.seconds_of(task_id)
