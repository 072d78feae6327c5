"""Deleting by one statement, and what conflicts with it."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from sqlalchemy import event, func, select, text
from sqlalchemy.orm import Session

from ibutsu_tasks.ibutsu.database.models import Artifact, ImportFile, Result
from ibutsu_tasks.ibutsu.retention import RETENTION_RULES, RULES_BY_NAME
from ibutsu_tasks.retention import sweep as sweeping_module
from ibutsu_tasks.retention.due import DueRows
from ibutsu_tasks.retention.sweep import Sweep, SweepConflictError, Sweeper
from tests.commands import until
from tests.factories import make_import, make_result, make_run, utc_now
from tests.old_results import due_results, make_old_result, prune

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Engine

    from ibutsu_tasks.packages import RetentionRule
    from ibutsu_tasks.retention.rows import RowKey, Rows

RESULTS, IMPORTS = RULES_BY_NAME["results"], RULES_BY_NAME["imports"]

WAITING = """
select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'
"""

SLOW_DELETE = """
create function be_slow() returns trigger language plpgsql as 'begin perform pg_sleep(0.02); return old; end';
create trigger be_slow before delete on artifacts for each row execute function be_slow();
"""


def count(engine: Engine, table: type[Any]) -> int:
    with Session(engine) as session:
        return session.scalar(select(func.count()).select_from(table)) or 0


class _Sweeper(threading.Thread):
    """Sweeps while somebody else is at work."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(daemon=True)
        self._engine = engine
        self.swept: Sweep | None = None
        self.has_conflict = False

    def run(self) -> None:
        try:
            with Session(self._engine) as session, session.begin():
                self.swept = Sweeper(due_results(), 100, timeout="60s").sweep(session, None, 100)
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
    """Let a sweep wait for a lock for as long as the test needs."""
    monkeypatch.setitem(sweeping_module.SETTINGS, "lock_timeout", "60s")


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
            Sweeper(due_results(), 100).sweep(sweeping, None, 100)
        summary = prune(engine, RESULTS, pause_seconds=0.01)
    assert (summary.left, summary.deleted["results"]) == (1, 5)
    assert session.scalars(select(Result.id)).all() == [locked]


def test_what_takes_too_long_goes_in_smaller_batches(engine: Engine, session: Session) -> None:
    session.execute(text(SLOW_DELETE))
    make_old_result(session, artifacts=80)
    make_old_result(session, artifacts=1)
    with pytest.raises(SweepConflictError), Session(engine) as sweeping:
        Sweeper(due_results(), 10_000).sweep(sweeping, None, 100)
    assert dict(prune(engine, RESULTS).deleted) == {"results": 2, "artifacts": 81}


def test_the_commit_does_not_run_out_of_the_time_of_the_sweep(engine: Engine, session: Session) -> None:
    make_old_result(session)
    with Session(engine) as sweeping:
        Sweeper(due_results(), 100).sweep(sweeping, None, 100)
        assert sweeping.scalar(text("show statement_timeout")) == sweeping_module.LONGEST_TIMEOUT


def test_a_sweep_whose_commit_runs_out_of_time_is_taken_back(
    engine: Engine, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_old_result(session, artifacts=3)

    sweep = Sweeper.sweep

    def sweep_too_long(sweeper: Sweeper, sweeping: Session, after: RowKey | None, limit: int) -> Sweep:
        swept = sweep(sweeper, sweeping, after, limit)
        if limit == 1:
            return swept
        # The server cannot be made to miss the end of a statement by a moment; this is what it says then.
        sweeping.execute(text("set local statement_timeout = 1"))
        sweeping.execute(text("select pg_sleep(1)"))
        return swept

    monkeypatch.setattr(Sweeper, "sweep", sweep_too_long)
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
            swept = Sweeper(due_results(), 10).sweep(sweeping, last, 2)
        last = swept.last
        assert last is not None
        seen.append((last.id, *(one.rows for one in swept.deleted.values())))
    assert seen == [(str(ids[1]), 2, 0), (str(ids[3]), 2, 0), (str(ids[4]), 1, 0)]
    with Session(engine) as sweeping:
        assert Sweeper(due_results(), 10).sweep(sweeping, last, 2).last is None


def _below(rows: Rows) -> list[Rows]:
    dependants = rows.dependants(str(uuid4()))
    return [rows, *(below for one in dependants for below in _below(one))]


@pytest.mark.parametrize("skip_locked", [False, True])
@pytest.mark.parametrize("rule", RETENTION_RULES, ids=lambda rule: rule.name)
def test_a_sweep_reads_no_table_from_end_to_end(
    engine: Engine, rule: RetentionRule, skip_locked: bool
) -> None:
    """Also without statistics: these tables are empty and nobody has analyzed them."""
    plans = []

    def explain(_connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if "DELETE" in statement:
            cursor.execute(f"explain {statement}", parameters)
            plans.append("\n".join(line for (line,) in cursor.fetchall()))

    event.listen(engine, "before_cursor_execute", explain)
    try:
        with Session(engine) as session:
            all_rows = _below(DueRows(rule, utc_now()))
            for rows in all_rows:
                Sweeper(rows, 1000, skip_locked).sweep(session, None, 1000)
    finally:
        event.remove(engine, "before_cursor_execute", explain)
    assert len(plans) == len(all_rows)
    for plan in plans:
        assert "Index" in plan
        assert "Seq Scan" not in plan
        assert "Hash Join" not in plan
