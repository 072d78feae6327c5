"""A prune that passes over a million rows of a project that keeps its own, against one without them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import create_engine, text

from ibutsu_tasks.ibutsu.retention import RULES_BY_NAME
from ibutsu_tasks.retention.run_prune import prune
from ibutsu_tasks.settings import load_settings
from tests.benchmarks.measuring import Figure, interleave, ratio, seconds, single
from tests.benchmarks.prune import Transactions

if TYPE_CHECKING:
    from tests.benchmarks.system import Bench

ROUNDS = 3
KEPT, DUE = 1_000_000, 100_000
SETTINGS = load_settings(environ={"IBUTSU_TASKS_RETENTION": "kept:results=never,kept:files=never"})

_PROJECTS = """
insert into projects (id, name) values (md5('kept')::uuid, 'kept'), (md5('other')::uuid, 'other')
"""

# Two thirds of what is kept lie in one piece before what is due, and the last third among it.
_RESULTS = """
insert into results (id, project_id, test_id, result, data, params, duration, start_time)
select md5(:project || n)::uuid, md5(:project)::uuid, 'TestThing.test_' || n, 'passed',
       jsonb_build_object('fspath', 'tests/test_' || n % 50 || '.py', 'line', n % 400), '{}', 0.25,
       now() at time zone 'utc' - interval '300 days' + (n - :first) * :step * interval '1 s'
from generate_series(1, cast(:rows as int)) n
"""


def run(bench: Bench) -> list[Figure]:
    """Measure both sides on copies of their databases."""
    longest: list[float] = []
    with bench.database() as without, bench.database() as with_kept:
        _store(without, kept=0)
        _store(with_kept, kept=KEPT)
        ours, reference = interleave(
            lambda: _prune_copy(bench, with_kept, longest),
            lambda: _prune_copy(bench, without, longest),
            rounds=ROUNDS,
        )
    return [
        ratio("the same without the kept ones", ours, reference, "s", at_most=2),
        single("longest transaction", max(longest), "s", at_most=1),
    ]


def _store(database_url: str, kept: int) -> None:
    engine = create_engine(database_url)
    with engine.begin() as connection:
        connection.execute(text(_PROJECTS))
        due = {"project": "other", "rows": DUE, "first": 0, "step": 30}
        connection.execute(text(_RESULTS), due)
        connection.execute(
            text(_RESULTS), {"project": "kept", "rows": kept, "first": kept * 2 // 3, "step": 9}
        )
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("vacuum analyze"))
        connection.execute(text("checkpoint"))
    engine.dispose()


def _prune_copy(bench: Bench, prepared_url: str, longest: list[float]) -> float:
    with bench.database(template_url=prepared_url) as database_url:
        engine = create_engine(database_url)
        transactions = Transactions(engine)
        try:
            return seconds(lambda: _prune(transactions))
        finally:
            longest.append(transactions.longest_seconds)
            engine.dispose()


def _prune(transactions: Transactions) -> None:
    summary = prune(transactions, RULES_BY_NAME["results"], 150, SETTINGS)
    assert (summary.deleted["results"], summary.left) == (DUE, 0), summary
