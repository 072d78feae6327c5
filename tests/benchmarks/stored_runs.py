"""Runs with many results, written by the database itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy import Engine

METADATA_BYTES = 1024

_STATUSES = (
    "(array['passed','passed','passed','passed','failed','error','skipped','xfailed','xpassed','passed'])"
)

_RUNS = """
insert into runs (id, data, env, component, source, start_time, duration, summary, created)
select gen_random_uuid(), '{}', 'stage', 'shop', 'ci', now() at time zone 'utc' - n * interval '1 ms', 0,
       jsonb_build_object('tests', cast(:told as int)), now() at time zone 'utc'
from generate_series(1, :runs) n returning id
"""

_RESULTS = f"""
insert into results (id, run_id, test_id, result, data, params, duration, start_time, source, env, component)
select gen_random_uuid(), r.id, 'test_' || n, {_STATUSES}[1 + n % 10],
       jsonb_build_object('run', r.id, 'fspath', 'tests/test_' || n % 100 || '.py', 'line', n,
                          'note', repeat(md5(n::text), :metadata_bytes / 32)),
       '{{}}', 0.25 + n % 4, r.start_time + n * interval '1 ms', 'ci', 'stage', 'shop'
from runs r, generate_series(1, :results) n where r.id = any(:ids)
"""  # noqa: S608 - constants


def store_runs(
    engine: Engine, runs: int, results: int, *, told: int, metadata_bytes: int = METADATA_BYTES
) -> list[UUID]:
    """Store recent runs whose summaries say `told` tests, with `results` each; give the runs' ids."""
    with engine.begin() as connection:
        ids = list(connection.scalars(text(_RUNS), {"runs": runs, "told": told}))
        connection.execute(text(_RESULTS), _values(ids, results, metadata_bytes))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("vacuum analyze"))
        connection.execute(text("checkpoint"))
    return ids


def add_results(engine: Engine, run_id: UUID, results: int) -> None:
    """Add results to a run, in a transaction of its own."""
    with engine.begin() as connection:
        connection.execute(text(_RESULTS), _values([run_id], results, METADATA_BYTES))


def _values(ids: list[UUID], results: int, metadata_bytes: int) -> dict[str, object]:
    return {"ids": ids, "results": results, "metadata_bytes": metadata_bytes}
