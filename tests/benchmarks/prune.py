"""A prune of half of a million results against the bare DELETE of the same rows, and beside imports."""

from __future__ import annotations

import statistics
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session

from ibutsu_tasks.ibutsu.operations.imports.uploads import store_upload
from ibutsu_tasks.ibutsu.retention import RULES_BY_NAME
from ibutsu_tasks.retention.run_prune import prune
from tests.benchmarks.measuring import Figure, interleave, ratio, seconds, single
from tests.benchmarks.prunable_rows import DUE_RESULTS, store_prunable_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Engine

    from tests.benchmarks.system import Bench, BenchSystem

ROUNDS = 3
AGE_DAYS = 150
CASES = 20
QUIET_IMPORTS = 100

_DUE = f"start_time < now() at time zone 'utc' - interval '{AGE_DAYS} days'"
BARE_DELETE = (
    f"delete from artifacts where result_id in (select id from results where {_DUE})",  # noqa: S608
    f"delete from results where {_DUE}",  # noqa: S608 - constants
)
LEFT = f"select count(*) from results where {_DUE}"  # noqa: S608 - constants

REPORT = "<testsuite>{}</testsuite>".format(
    "".join(f'<testcase classname="shop.Cart" name="test_{n}" time="0.1"/>' for n in range(CASES))
)


class Transactions:
    """Opens the transactions of a prune, and remembers how long the longest of the deleting ones was."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._open = 0
        self.longest_seconds = 0.0

    @contextmanager
    def __call__(self) -> Iterator[Session]:
        # The outermost one holds the lock against a second prune, and no row.
        self._open += 1
        start = time.perf_counter()
        try:
            with Session(self._engine) as session, session.begin():
                yield session
        finally:
            self._open -= 1
        if self._open:
            self.longest_seconds = max(self.longest_seconds, time.perf_counter() - start)


def run(bench: Bench) -> list[Figure]:
    """Measure both sides on copies of one database, then a prune with imports running beside it."""
    with bench.database() as prepared_url:
        store_prunable_rows(prepared_url)
        longest: list[float] = []
        ours, bare = interleave(
            lambda: _on_copy(bench, prepared_url, lambda engine: _prune(engine, longest)),
            lambda: _on_copy(bench, prepared_url, _delete),
            rounds=ROUNDS,
        )
        with bench.system(template_url=prepared_url) as system:
            quiet, busy, left = _beside_imports(system, longest)
    return [
        ratio("the bare DELETE", ours, bare, "s", at_most=1.5),
        single("longest transaction", max(longest), "s", at_most=1),
        ratio("p95 of imports beside it", _p95(busy), _p95(quiet), "s", at_most=2),
        single("due rows left", left, "rows", at_most=0),
    ]


def _on_copy(bench: Bench, prepared_url: str, work: Callable[[Engine], None]) -> float:
    with bench.database(template_url=prepared_url) as database_url:
        engine = create_engine(database_url)
        try:
            return seconds(lambda: work(engine))
        finally:
            engine.dispose()


def _prune(engine: Engine, longest: list[float]) -> None:
    transactions = Transactions(engine)
    summary = prune(transactions, RULES_BY_NAME["results"], AGE_DAYS)
    assert (summary.deleted["results"], summary.left) == (DUE_RESULTS, 0), summary
    longest.append(transactions.longest_seconds)


def _delete(engine: Engine) -> None:
    with engine.begin() as connection:
        for statement in BARE_DELETE:
            connection.execute(text(statement))


def _beside_imports(system: BenchSystem, longest: list[float]) -> tuple[list[float], list[float], int]:
    """Give the latencies of imports alone and beside a prune, and the due rows left after it."""
    with system.worker():
        quiet = [_import_seconds(system) for _ in range(QUIET_IMPORTS)]
        pruning = threading.Thread(target=_prune, args=(system.engine, longest))
        pruning.start()
        busy = []
        while pruning.is_alive():
            busy.append(_import_seconds(system))
        pruning.join()
    with system.engine.connect() as connection:
        return quiet, busy, connection.scalar(text(LEFT)) or 0


def _import_seconds(system: BenchSystem) -> float:
    """Import a report of 20 cases, from the message sent to its result stored."""
    with system.session() as session:
        upload = store_upload(session, "report.xml", REPORT.encode())
        session.commit()

    message = {"id": str(upload.import_id)}
    return seconds(lambda: system.wait_for_result(system.publish("importers.run_junit_import", message)))


def _p95(times: list[float]) -> float:
    return statistics.quantiles(times, n=20)[-1]
