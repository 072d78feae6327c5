"""A million results, half of them due, written by the database itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import create_engine, text

if TYPE_CHECKING:
    from sqlalchemy import Connection

RUNS, DUE_RUNS, RESULTS_PER_RUN = 1050, 550, 1000
RESULTS, DUE_RESULTS = RUNS * RESULTS_PER_RUN, DUE_RUNS * RESULTS_PER_RUN

RESULTS_PER_ARTIFACT, ARTIFACTS_PER_NEW_ONE = 10, 10

_RUNS = """
insert into runs (id, data, env, component, source, start_time, duration, summary, created)
select md5('run' || n)::uuid, jsonb_build_object('number', n, 'tags', jsonb_build_array('nightly')),
       'stage', 'shop', 'ci', begun, 250, jsonb_build_object('tests', cast(:per_run as int)), begun
from (select n, now() at time zone 'utc' - n % 100 * interval '1 hour'
                - case when n < :due_runs then interval '151 days' else interval '1 day' end as begun
      from generate_series(0, :runs - 1) n) as numbered
"""

_RESULTS = """
insert into results (id, run_id, test_id, result, data, params, duration, start_time, source, env, component)
select md5('result' || number)::uuid, r.id, 'TestThing.test_' || n,
       case when n % 10 = 0 then 'failed' else 'passed' end,
       jsonb_build_object('run', r.id, 'fspath', 'tests/test_' || n % 50 || '.py', 'line', n % 400,
                          'tags', jsonb_build_array('a', 'b'),
                          'jenkins', jsonb_build_object('job_name', 'job',
                                                        'build_number', r.data->>'number')),
       '{}', 0.25 + n % 4, r.start_time + n * interval '1 s', 'ci', 'stage', 'shop'
from runs r cross join generate_series(0, :per_run - 1) n
cross join lateral (select cast(r.data->>'number' as int) * :per_run + n as number) as counted
order by r.start_time, r.id, n
"""

_ARTIFACTS = """
insert into artifacts (id, content, result_id, filename, data, upload_date)
select md5('artifact' || n)::uuid, convert_to(repeat(md5(n::text), 64), 'utf8'),
       md5('result' || n)::uuid, 'traceback.log', '{"contentType": "text/plain"}',
       now() at time zone 'utc' - case when n % :new_step = 0 then interval '1 day'
                                       else interval '151 days' end
from generate_series(0, :results - 1, :step) n
"""

_INDEXES = "select indexname, indexdef from pg_indexes where indexname like 'ix_%' and tablename = 'results'"


def store_prunable_rows(database_url: str) -> None:
    """Fill a fresh database; every tenth result has a 2 KB traceback, one in ten of these is new."""
    engine = create_engine(database_url)
    with engine.begin() as connection:
        indexes = connection.execute(text(_INDEXES)).all()
        for name, _ in indexes:
            connection.execute(text(f"drop index {name}"))
        _insert(connection)
        # Sorted in one go, they take a fifth of the time.
        connection.execute(text("set local maintenance_work_mem = '512MB'"))
        for _, definition in indexes:
            connection.execute(text(definition))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("vacuum analyze"))
        connection.execute(text("checkpoint"))
    engine.dispose()


def _insert(connection: Connection) -> None:
    connection.execute(text(_RUNS), {"runs": RUNS, "due_runs": DUE_RUNS, "per_run": RESULTS_PER_RUN})
    connection.execute(text(_RESULTS), {"per_run": RESULTS_PER_RUN})
    steps = {"step": RESULTS_PER_ARTIFACT, "new_step": RESULTS_PER_ARTIFACT * ARTIFACTS_PER_NEW_ONE}
    connection.execute(text(_ARTIFACTS), {"results": RESULTS} | steps)
