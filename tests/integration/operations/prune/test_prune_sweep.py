"""Deleting by one statement, and what conflicts with it."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from sqlalchemy import event, func, select, text
from sqlalchemy.orm import Session

from ibutsu_tasks.database.models import Artifact, ImportFile, Result
from ibutsu_tasks.operations.prune import batches
from ibutsu_tasks.operations.prune import sweep as sweeping_module
from ibutsu_tasks.operations.prune.due import DueRows
from ibutsu_tasks.operations.prune.sweep import SweepConflictError, sweep
from ibutsu_tasks.retention import RETENTION_RULES, RULES_BY_NAME, RetentionRule
from tests.commands import until
from tests.factories import make_import, make_result, make_run, utc_now
from tests.old_results import due_results, make_old_result, prune

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Engine

RESULTS, IMPORTS = RULES_BY_NAME["results"], RULES_BY_NAME["imports"]

WAITING = """
select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'
"""


def count(engine: Engine, table: type[Any]) -> int:
    with Session(engine) as session:
        return session.scalar(select(func.count()).select_from(table)) or 0


class _Sweeper(threading.Thread):
    """Sweeps while somebody else is at work."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(daemon=True)
        self._engine = engine
        self.swept: sweeping_module.Sweep | None = None
        self.has_conflict = False

    def run(self) -> None:
        try:
            with Session(self._engine) as session, session.begin():
                self.swept = sweep(session, due_results(), None, 100, 100)
        except SweepConflictError:
            self.has_conflict = True


def is_somebody_waiting(engine: Engine) -> bool:
    # A transaction sees the activity as it was when it first looked.
    with engine.connect() as connection:
        return bool(connection.scalar(text(WAITING)))


def sweep_amid(engine: Engine, change: Callable[[Session], None]) -> _Sweeper:
    """Sweep while another transaction has changed a row and commits once the sweep waits for it."""
    sweeper = _Sweeper(engine)
    with Session(engine) as other:
        change(other)
        sweeper.start()
        until(lambda: is_somebody_waiting(engine))
        other.commit()
    sweeper.join(30)
    assert not sweeper.is_alive()
    return sweeper


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a sweep wait for as long as the test needs."""
    for name in ("lock_timeout", "statement_timeout"):
        monkeypatch.setitem(sweeping_module.SETTINGS, name, "60s")


@pytest.mark.usefixtures("patient")
def test_a_result_made_young_while_the_sweep_waits_keeps_its_artifacts(
    engine: Engine, session: Session
) -> None:
    kept, gone = make_old_result(session, artifacts=2), make_old_result(session, artifacts=1)

    def make_young(other: Session) -> None:
        other.execute(text("update results set start_time = now() where id = :id"), {"id": kept.id})

    sweeper = sweep_amid(engine, make_young)

    assert sweeper.swept is not None
    assert [one.rows for one in sweeper.swept.deleted.values()] == [1, 1]
    assert set(session.scalars(select(Artifact.result_id))) == {kept.id} != {gone.id}


@pytest.mark.usefixtures("patient")
def test_an_artifact_added_to_a_result_while_the_sweep_waits_conflicts_with_it(
    engine: Engine, session: Session
) -> None:
    results = [make_old_result(session, artifacts=1) for _ in range(3)]

    def add_one_more(other: Session) -> None:
        other.add(Artifact(id=uuid4(), result_id=results[1].id, content=b"x", upload_date=utc_now()))
        other.flush()

    sweeper = sweep_amid(engine, add_one_more)

    assert sweeper.has_conflict
    assert (count(engine, Result), count(engine, Artifact)) == (3, 4)
    assert dict(prune(engine, RESULTS).deleted) == {"results": 3, "artifacts": 4}


def test_a_locked_row_conflicts_with_the_sweep_and_the_prune_skips_it(
    engine: Engine, session: Session
) -> None:
    locked = make_old_result(session, artifacts=1).id
    for _ in range(5):
        make_old_result(session, artifacts=1)
    with Session(engine) as other:
        other.execute(text("select 1 from results where id = :id for update"), {"id": locked})
        with pytest.raises(SweepConflictError), Session(engine) as sweeping:
            sweep(sweeping, due_results(), None, 100, 100)
        summary = prune(engine, RESULTS, pause_seconds=0.01)
    assert (summary.left, summary.deleted["results"]) == (1, 5)
    assert session.scalars(select(Result.id)).all() == [locked]


def test_without_time_every_row_goes_by_itself(
    engine: Engine, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sweeping_module.SETTINGS, "statement_timeout", "1ms")
    make_old_result(session, artifacts=2000)
    with pytest.raises(SweepConflictError), Session(engine) as sweeping:
        sweep(sweeping, due_results(), None, 100, 10_000)
    assert dict(prune(engine, RESULTS).deleted) == {"results": 1, "artifacts": 2000}


def test_the_commit_does_not_run_out_of_the_time_of_the_sweep(engine: Engine, session: Session) -> None:
    make_old_result(session)
    with Session(engine) as sweeping:
        sweep(sweeping, due_results(), None, 100, 100)
        assert sweeping.scalar(text("show statement_timeout")) == sweeping_module.COMMIT_TIMEOUT


def test_a_sweep_whose_commit_runs_out_of_time_is_taken_back(
    engine: Engine, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_old_result(session, artifacts=3)

    def sweep_too_long(sweeping: Session, *arguments: Any) -> sweeping_module.Sweep:
        swept = sweep(sweeping, *arguments)
        # The server cannot be made to miss the end of a statement by a moment; this is what it says then.
        sweeping.execute(text("set local statement_timeout = 1"))
        sweeping.execute(text("select pg_sleep(1)"))
        return swept

    monkeypatch.setattr(batches, "sweep", sweep_too_long)
    assert dict(prune(engine, RESULTS).deleted) == {"results": 1, "artifacts": 3}


def test_what_goes_by_itself_with_its_parent_is_counted_too(engine: Engine, session: Session) -> None:
    upload = make_import(session, b"x", created=utc_now() - timedelta(days=8))
    session.add_all(ImportFile(id=uuid4(), import_id=upload.id, content=b"x") for _ in range(29))
    session.commit()
    assert dict(prune(engine, IMPORTS, weight=5).deleted) == {"imports": 1, "import_files": 30}


def test_sweeps_follow_one_another_by_date_and_id(engine: Engine, session: Session) -> None:
    same = utc_now() - timedelta(days=200)
    run = make_run(session)
    ids = sorted(make_result(session, run, start_time=same).id for _ in range(5))
    session.commit()
    last, seen = None, []
    for _ in range(3):
        with Session(engine) as sweeping, sweeping.begin():
            last, deleted = sweep(sweeping, due_results(), last, 2, 10)
        assert last is not None
        seen.append((last.id, *(one.rows for one in deleted.values())))
    assert seen == [(ids[1], 2, 0), (ids[3], 2, 0), (ids[4], 1, 0)]
    with Session(engine) as sweeping:
        assert sweep(sweeping, due_results(), last, 2, 10).last is None


@pytest.mark.parametrize("rule", RETENTION_RULES, ids=lambda rule: rule.name)
def test_a_sweep_reads_no_table_from_end_to_end(engine: Engine, rule: RetentionRule) -> None:
    """Also without statistics: these tables are empty and nobody has analyzed them."""
    plans = []

    def explain(_connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if "chosen" in statement:
            cursor.execute(f"explain {statement}", parameters)
            plans.append("\n".join(line for (line,) in cursor.fetchall()))

    event.listen(engine, "before_cursor_execute", explain)
    try:
        with Session(engine) as session:
            sweep(session, DueRows(rule, utc_now()), None, 1000, 1000)
    finally:
        event.remove(engine, "before_cursor_execute", explain)
    (plan,) = plans
    assert "Index" in plan
    assert "Seq Scan" not in plan
    assert "Hash Join" not in plan
