"""A storm of requests to recompute a few runs, each sent after results were added."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from ibutsu_tasks.ibutsu.database.models import Run
from ibutsu_tasks.ibutsu.operations.run_summary import complete, count_results
from ibutsu_tasks.ibutsu.run_lock import LONGEST_WAIT_SECONDS, QUIET_SECONDS
from tests.benchmarks.measuring import Figure, single
from tests.benchmarks.stored_runs import add_results, store_runs
from tests.commands import until
from tests.pass_counting import COUNT_PASSES, bursts_in, passes_of

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy.orm import Session

    from tests.benchmarks.system import Bench, BenchSystem

RUNS, MESSAGES, RESULTS_EACH = 5, 500, 2

TIMEOUT_SECONDS = 120


def run(bench: Bench) -> list[Figure]:
    """Count passes by burst and run, and summaries that are wrong in the end."""
    with bench.system() as system, system.worker("--concurrency", "2") as worker:
        ids = store_runs(system.engine, RUNS, 0, told=0)
        with system.engine.begin() as connection:
            connection.execute(COUNT_PASSES)
        moments = _storm(system, ids)
        with system.session() as session:
            until(lambda: not _wrong(session, ids), TIMEOUT_SECONDS)
            time.sleep(LONGEST_WAIT_SECONDS + QUIET_SECONDS)
            passes = {run_id: passes_of(session, run_id) for run_id in ids}
            wrong = _wrong(session, ids)
        per_burst = max(passes[run_id] / bursts_in(moments[run_id]) for run_id in ids)
        return [
            single("passes a burst", per_burst, "", at_most=2, peak_rss_bytes=worker.peak_rss_bytes()),
            single("wrong at the end", wrong, "", at_most=0),
            single("passes in all", sum(passes.values()), ""),
            single("storm lasted", max(map(max, moments.values())) - min(map(min, moments.values())), "s"),
        ]


def _storm(system: BenchSystem, ids: list[UUID]) -> dict[UUID, list[float]]:
    """Add results and ask, over and over; give the moments of asking by run."""
    moments: dict[UUID, list[float]] = {run_id: [] for run_id in ids}
    for number in range(MESSAGES):
        run_id = ids[number % RUNS]
        add_results(system.engine, run_id, RESULTS_EACH)
        system.publish("runs.update_run", str(run_id))
        moments[run_id].append(time.monotonic())
    return moments


def _wrong(session: Session, ids: list[UUID]) -> int:
    session.rollback()
    return sum(_is_wrong(session, run_id) for run_id in ids)


def _is_wrong(session: Session, run_id: UUID) -> bool:
    run_: Any = session.get_one(Run, run_id, populate_existing=True)
    counts, seconds = count_results(session, run_id)
    expected = RESULTS_EACH * MESSAGES // RUNS
    is_whole = (
        session.scalar(text("select count(*) from results where run_id = :id"), {"id": run_id}) == expected
    )
    return not is_whole or run_.summary != complete(counts, 0) or run_.duration != seconds
