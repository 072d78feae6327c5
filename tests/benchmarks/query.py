"""Large pages of `query_task` against their two queries and the JSON encoding."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ibutsu_tasks.ibutsu.settings import QUERY_MAX_ROWS
from tests.benchmarks.measuring import Figure, interleave, ratio, seconds, single
from tests.benchmarks.stored_runs import store_runs

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from tests.benchmarks.system import Bench, BenchSystem, BenchWorker

RESULTS = 30_000
PAGES = {501: 15, 20_000: 5}
"""Page sizes, and the rounds each is measured in."""

PAGE = """
select id::text, project_id::text, run_id::text, test_id, result, data as metadata, params, duration,
       start_time, source, env, component
from results order by start_time desc, id limit %s
"""
TOTAL = "select count(*) from results"


def run(bench: Bench) -> list[Figure]:
    """Measure the task in the worker, its result's encoding and storing included."""
    with bench.system() as system:
        store_runs(system.engine, 3, RESULTS // 3, told=0)
        with system.worker() as worker, system.engine.connect() as bare:
            figures = [_measure(system, worker, bare, size) for size in PAGES]
            return [*figures, single("refused above", _refused_above(system), "rows")]


def _measure(system: BenchSystem, worker: BenchWorker, bare: Connection, page_size: int) -> Figure:
    ours, limit = interleave(
        lambda: _task_seconds(system, worker, page_size),
        lambda: seconds(lambda: _bare(bare, page_size)),
        rounds=PAGES[page_size],
    )
    peak_bytes = worker.peak_rss_bytes()
    return ratio(f"{page_size:,} rows", ours, limit, "s", at_most=2, peak_rss_bytes=peak_bytes)


def _task_seconds(system: BenchSystem, worker: BenchWorker, page_size: int) -> float:
    task_id = system.publish("query.query_task", [], 1, page_size)
    result = json.loads(system.wait_for_result(task_id))["result"]
    assert len(result["results"]) == page_size
    assert result["pagination"]["totalItems"] == RESULTS
    system.client.delete(f"celery-task-meta-{task_id}")
    return worker.seconds_of(task_id)


def _bare(connection: Connection, page_size: int) -> str:
    page = connection.exec_driver_sql(PAGE, (page_size,)).cursor
    names = [column.name for column in page.description]
    rows = [dict(zip(names, values, strict=True)) for values in page.fetchall()]
    total = connection.exec_driver_sql(TOTAL).scalar_one()
    return json.dumps({"results": rows, "total": total}, default=_text)


def _text(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _refused_above(system: BenchSystem) -> int:
    """Ask for a row more than the limit and see it refused; give the limit."""
    limit = QUERY_MAX_ROWS.default
    stored = json.loads(system.wait_for_result(system.publish("query.query_task", [], 1, limit + 1)))
    assert stored["status"] == "FAILURE", stored["status"]
    assert f"over the limit of {limit} rows" in str(stored["result"]), stored["result"]
    return limit
