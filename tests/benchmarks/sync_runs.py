"""Runs out of step found by one query, against every result row of each run loaded to count it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sqlalchemy import event, select, text
from sqlalchemy.orm import Session

from ibutsu_tasks.ibutsu.database.models import Result, Run
from ibutsu_tasks.ibutsu.operations.run_summary import LOOK_BACK, find_out_of_step
from tests.benchmarks.measuring import Figure, interleave, seconds, single, speedup
from tests.benchmarks.stored_runs import store_runs

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from sqlalchemy import Engine

    from tests.benchmarks.system import Bench, BenchSystem

RUNS, RESULTS, METADATA_BYTES, ROUNDS = 500, 200, 256, 3


def run(bench: Bench) -> list[Figure]:
    """Measure with no run out of step, then with all of them."""
    with bench.system() as system:
        store_runs(system.engine, RUNS, RESULTS, told=RESULTS, metadata_bytes=METADATA_BYTES)
        none = _measure(system, "none", expected=0)
        with system.engine.begin() as connection:
            connection.execute(text("update runs set summary = '{\"tests\": 0}'"))
        return none + _measure(system, "all", expected=RUNS)


def _measure(system: BenchSystem, label: str, expected: int) -> list[Figure]:
    ours = _statements(system.engine, find_out_of_step, expected)
    today = _statements(system.engine, _find_by_loading, expected)
    our_seconds, todays_seconds = interleave(
        lambda: _seconds(system.engine, find_out_of_step),
        lambda: _seconds(system.engine, _find_by_loading),
        rounds=ROUNDS,
    )
    return [
        single(f"{label}: queries", ours, "", at_most=1, peak_rss_bytes=_peak_of_task(system, expected)),
        speedup(f"{label}: statements", ours, today, "", at_least=20),
        speedup(f"{label}: time", our_seconds, todays_seconds, "s"),
    ]


def _find_by_loading(session: Session) -> list[UUID]:
    """Find them as the server's own worker does."""
    since = datetime.now(UTC).replace(tzinfo=None) - LOOK_BACK
    found = []
    for run_ in session.scalars(select(Run).where(Run.start_time > since)).all():
        results = session.scalars(select(Result).where(Result.run_id == run_.id)).all()
        if (run_.summary or {}).get("tests") != len(results):
            found.append(run_.id)
    return found


def _statements(engine: Engine, find: Callable[[Session], list[UUID]], expected: int) -> int:
    statements: list[str] = []

    def note(*call: str) -> None:
        statements.append(call[2])

    event.listen(engine, "before_cursor_execute", note)
    with Session(engine) as session:
        found = find(session)
    event.remove(engine, "before_cursor_execute", note)
    assert len(found) == expected, f"{len(found)} runs are out of step"
    return len(statements)


def _seconds(engine: Engine, find: Callable[[Session], list[UUID]]) -> float:
    with Session(engine) as session:
        return seconds(lambda: find(session))


def _peak_of_task(system: BenchSystem, expected: int) -> int:
    with system.worker() as worker:
        result = json.loads(system.wait_for_result(system.publish("runs.sync_aborted_runs")))["result"]
        assert result == {"runs": expected}, result
        return worker.peak_rss_bytes()
