from __future__ import annotations

import json
import logging
import threading
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlalchemy import create_engine, func, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from ibutsu_tasks.celery_app import WORKER_NAME, build_database_app
from ibutsu_tasks.errors import RefusedError, TaskArgumentsError
from ibutsu_tasks.ibutsu.database.models import Artifact, Base, Import, ImportFile, Result, Run
from ibutsu_tasks.ibutsu.operations.archives.archiver import Archiver
from ibutsu_tasks.ibutsu.retention import RETENTION_RULES, RULES_BY_NAME
from ibutsu_tasks.retention import plan as prune_plan
from ibutsu_tasks.retention import run_prune
from ibutsu_tasks.retention.batches import BatchTuner
from ibutsu_tasks.retention.due import DueRows
from ibutsu_tasks.retention.monitor import PruneMonitor, PruneProgress
from ibutsu_tasks.retention.sweep import Sweeper
from tests.factories import make_artifact, make_import, make_result, make_run, opener, utc_now

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sqlalchemy import ColumnElement, Engine, Table

    from ibutsu_tasks.packages import RetentionRule
    from ibutsu_tasks.settings import Settings
    from ibutsu_tasks.tasks.base import DatabaseCelery

FILES, RESULTS, RUNS, IMPORTS = (RULES_BY_NAME[name] for name in ("files", "results", "runs", "imports"))


def days_ago(days: float) -> datetime:
    return utc_now() - timedelta(days=days)


def count(engine: Engine, table: type[Base]) -> int:
    with Session(engine) as session:
        return session.scalar(select(func.count()).select_from(table)) or 0


def prune(engine: Engine, rule: RetentionRule, age_days: int | None = None) -> run_prune.PruneSummary:
    """Do it without a long wait for whoever holds a row for the whole test."""
    days = age_days or rule.default_age_days
    return run_prune.prune(opener(engine), rule, days, tuner=BatchTuner(pause_seconds=0.05))


class ReportList(PruneMonitor):
    """Remembers what is reported."""

    def __init__(self) -> None:
        self.reports: list[PruneProgress] = []

    def report(self, progress: PruneProgress) -> None:
        self.reports.append(progress)


def test_a_new_artifact_on_an_old_result_goes_with_it(engine: Engine, session: Session) -> None:
    run = make_run(session)
    old = make_result(session, run, start_time=days_ago(200))
    make_artifact(session, old, upload_date=days_ago(200))
    make_artifact(session, old, upload_date=days_ago(1))
    young = make_result(session, run, start_time=days_ago(1))
    kept = make_artifact(session, young, upload_date=days_ago(200))
    session.commit()

    summary = prune(engine, RESULTS)

    assert dict(summary.deleted) == {"results": 1, "artifacts": 2}
    assert summary.left == 0
    assert session.scalars(select(Result.id)).all() == [young.id]
    assert session.scalars(select(Artifact.id)).all() == [kept.id]
    assert count(engine, Run) == 1


def test_a_run_takes_its_results_and_both_kinds_of_artifacts(engine: Engine, session: Session) -> None:
    old, young = make_run(session, start_time=days_ago(400)), make_run(session)
    moved_on = make_result(session, old, start_time=days_ago(1))
    make_artifact(session, moved_on)
    make_artifact(session, run=old)
    elsewhere = make_result(session, young)
    make_artifact(session, elsewhere, old)
    make_artifact(session, elsewhere, young)
    session.commit()

    summary = prune(engine, RUNS)

    assert dict(summary.deleted) == {"runs": 1, "results": 1, "artifacts": 3}
    assert session.scalars(select(Run.id)).all() == [young.id]
    assert session.scalars(select(Result.id)).all() == [elsewhere.id]
    assert count(engine, Artifact) == 1


def test_files_go_by_upload_date_and_leave_their_result(engine: Engine, session: Session) -> None:
    result = make_result(session, make_run(session), start_time=days_ago(300))
    make_artifact(session, result, upload_date=days_ago(91))
    make_artifact(session, upload_date=days_ago(91))
    make_artifact(session, result, upload_date=days_ago(89))
    session.commit()

    assert dict(prune(engine, FILES).deleted) == {"artifacts": 2}
    assert (count(engine, Artifact), count(engine, Result)) == (1, 1)


@pytest.mark.parametrize("status", ["pending", "running", "done", "error"])
def test_imports_go_by_age_whatever_their_status(engine: Engine, session: Session, status: str) -> None:
    make_import(session, b"x" * 100, created=days_ago(8), status=status)
    make_import(session, None, created=days_ago(8), status=status)
    make_import(session, b"new", created=days_ago(6), status=status)
    session.commit()

    summary = prune(engine, IMPORTS)

    assert dict(summary.deleted) == {"imports": 2, "import_files": 2}
    assert (count(engine, Import), count(engine, ImportFile)) == (1, 1)


def test_the_cutoff_itself_is_kept(engine: Engine, session: Session) -> None:
    now = utc_now()
    cutoff = now - timedelta(days=150)
    make_result(session, make_run(session), start_time=cutoff)
    make_result(session, make_run(session), start_time=cutoff - timedelta(microseconds=1))
    session.commit()

    summary = run_prune.prune(opener(engine), RESULTS, 150, now=now)

    assert summary.deleted["results"] == 1
    assert summary.cutoff == cutoff
    assert session.scalars(select(Result.start_time)).all() == [cutoff]


@pytest.mark.parametrize("rule", RETENTION_RULES, ids=lambda rule: rule.name)
def test_below_its_floor_a_rule_deletes_nothing_and_warns(
    engine: Engine, session: Session, rule: RetentionRule, caplog: pytest.LogCaptureFixture
) -> None:
    _fill_with_old_rows(session)
    before = _counts(engine)
    with caplog.at_level(logging.WARNING):
        summary = prune(engine, rule, rule.minimum_age_days - 1 or -1)
    assert summary.skipped is not None
    assert summary.skipped in caplog.text
    assert dict(summary.deleted) == {}
    assert _counts(engine) == before


def _counts(engine: Engine) -> list[int]:
    return [count(engine, table) for table in (Artifact, Result, Run, Import, ImportFile)]


def _fill_with_old_rows(session: Session) -> None:
    run = make_run(session, start_time=days_ago(1000))
    result = make_result(session, run)
    make_artifact(session, result, upload_date=days_ago(1000))
    make_import(session, b"old", created=days_ago(1000))
    session.commit()


def test_nothing_due_deletes_nothing(engine: Engine, session: Session) -> None:
    make_artifact(session, make_result(session, make_run(session)))
    session.commit()
    for rule in RETENTION_RULES:
        summary = prune(engine, rule)
        assert sum(summary.deleted.values()) == summary.size_bytes == summary.left == 0
        assert summary.skipped is None


def test_an_age_outside_the_calendar_is_refused(engine: Engine) -> None:
    with pytest.raises(RefusedError, match="not in the calendar"):
        prune(engine, FILES, 10**9)


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/Los_Angeles"])
def test_the_sessions_time_zone_does_not_matter(database_url: str, session: Session, zone: str) -> None:
    now = utc_now()
    for hours in (-1, 1):
        make_artifact(session, upload_date=now - timedelta(days=90, hours=hours))
    session.commit()
    engine = create_engine(database_url, connect_args={"options": f"-c TimeZone={zone}"})
    try:
        with Session(engine) as planning:
            plan = prune_plan.plan(planning, FILES, 90)
        summary = prune(engine, FILES)
    finally:
        engine.dispose()
    assert (plan.rows, summary.deleted["artifacts"]) == (1, 1)
    assert plan.tables[0].oldest == now - timedelta(days=90, hours=1)
    assert plan.as_json()["tables"][0]["oldest"].endswith("Z")


def test_the_plan_says_rows_dates_and_stored_bytes(engine: Engine, session: Session) -> None:
    old = make_run(session, start_time=days_ago(400))
    result = make_result(session, old, start_time=days_ago(390))
    make_artifact(session, result, content=b"\0" * 1_000_000, upload_date=days_ago(380))
    make_artifact(session, run=old, content=bytes(range(256)) * 4, upload_date=days_ago(2))
    session.commit()

    plan = prune_plan.plan(session, RUNS, 360)

    runs, results, artifacts = plan.tables
    assert [table.table for table in plan.tables] == ["runs", "results", "artifacts"]
    assert (runs.rows, results.rows, artifacts.rows, plan.rows) == (1, 1, 2, 4)
    assert runs.oldest == runs.newest == old.start_time
    assert artifacts.oldest is not None
    assert artifacts.newest is not None
    assert (artifacts.newest - artifacts.oldest).days == 378
    # The million zeros are compressed: what counts is what is stored.
    assert 1024 < artifacts.size_bytes < 100_000
    assert count(engine, Artifact) == 2


def test_the_plan_reads_no_content_kept_out_of_line(engine: Engine, session: Session) -> None:
    make_import(session, b"".join(uuid4().bytes for _ in range(20_000)), created=days_ago(30))
    session.commit()
    _toast_blocks_read(session)
    with Session(engine) as fresh:
        before = _toast_blocks_read(fresh)
        plan = prune_plan.plan(fresh, IMPORTS, 7)
        assert _toast_blocks_read(fresh) == before
        fresh.scalar(select(func.max(func.md5(ImportFile.content))))
        assert _toast_blocks_read(fresh) > before
    files = plan.tables[1]
    assert files.size_bytes >= 320_000
    assert (files.rows, files.oldest, files.newest) == (1, None, None)


def _toast_blocks_read(session: Session) -> int:
    session.execute(text("select pg_stat_force_next_flush()"))
    session.commit()
    query = (
        "select toast_blks_read + toast_blks_hit from pg_statio_user_tables where relname = 'import_files'"
    )
    return int(session.scalar(text(query)) or 0)


def test_a_plan_below_the_floor_is_refused(session: Session) -> None:
    with pytest.raises(RefusedError, match=r"months parameter \(1\) must be >= 2"):
        prune_plan.plan(session, FILES, 30)


def test_many_rows_go_in_small_transactions(engine: Engine, session: Session) -> None:
    old = make_run(session, start_time=days_ago(400))
    for _ in range(25):
        result = make_result(session, old)
        for _ in range(3):
            make_artifact(session, result)
    session.commit()
    monitor = ReportList()

    summary = run_prune.prune(opener(engine), RUNS, 360, monitor=monitor, tuner=BatchTuner(7, 7, 7))

    steps = [one.rows for one in monitor.reports]
    assert dict(summary.deleted) == {"runs": 1, "results": 25, "artifacts": 75}
    assert steps == sorted(steps)
    assert steps[-1] == 101
    assert max(later - earlier for earlier, later in zip([0, *steps], steps, strict=False)) <= 1 + 7 + 7
    assert [one.batches for one in monitor.reports] == list(range(1, len(steps) + 1))


def test_more_rows_than_one_batch(engine: Engine, session: Session) -> None:
    same = days_ago(100)
    rows = [{"id": uuid4(), "upload_date": same, "content": b"x"} for _ in range(BatchTuner().weight * 4 + 1)]
    session.bulk_insert_mappings(Artifact, rows)
    session.commit()
    assert prune(engine, FILES).deleted["artifacts"] == len(rows)
    assert count(engine, Artifact) == 0


@pytest.mark.parametrize("held", ["runs", "results", "artifacts"])
def test_rows_somebody_else_holds_are_passed_over_and_taken_later(
    engine: Engine, session: Session, held: str
) -> None:
    rows = {"held": _old_tree(session), "free": _old_tree(session)}
    session.commit()
    with Session(engine) as other:
        where = {"id": rows["held"][held]}
        other.execute(text(f"select 1 from {held} where id = :id for update"), where)  # noqa: S608 - fixed names
        summary = prune(engine, RUNS)
        assert summary.left == 1
        assert summary.deleted["runs"] == 1
        assert summary.seconds < 60
        assert session.scalars(select(Run.id)).all() == [rows["held"]["runs"]]
    summary = prune(engine, RUNS)
    assert (summary.left, summary.deleted["runs"]) == (0, 1)
    assert count(engine, Run) == count(engine, Result) == count(engine, Artifact) == 0


def _old_tree(session: Session) -> dict[str, UUID]:
    run = make_run(session, start_time=days_ago(400))
    result = make_result(session, run)
    return {"runs": run.id, "results": result.id, "artifacts": make_artifact(session, result).id}


def test_a_held_row_is_taken_as_soon_as_it_is_let_go(
    engine: Engine, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = _old_tree(session)
    session.commit()
    other = Session(engine)
    other.execute(text("select 1 from runs where id = :id for update"), {"id": tree["runs"]})
    monkeypatch.setattr(time, "sleep", lambda _: other.close())

    assert prune(engine, RUNS).left == 0
    assert count(engine, Run) == 0


def test_artifacts_put_on_due_results_all_the_while_do_not_stop_it(engine: Engine, session: Session) -> None:
    run = make_run(session)
    ids = [make_result(session, run, start_time=days_ago(300)).id for _ in range(300)]
    session.commit()
    writers = [_Writer(engine, ids[number::3]) for number in range(3)]
    for writer in writers:
        writer.start()

    summaries = [prune(engine, RESULTS) for _ in range(2)]
    for writer in writers:
        writer.join(30)
    summaries.append(prune(engine, RESULTS))

    assert [writer.unexpected for writer in writers] == [None, None, None]
    assert sum(writer.written for writer in writers) == sum(one.deleted["artifacts"] for one in summaries)
    assert sum(one.deleted["results"] for one in summaries) == 300
    assert summaries[-1].left == count(engine, Result) == count(engine, Artifact) == 0


class _Writer(threading.Thread):
    """Uploads artifacts as the API server does; a result that is gone is an upload refused."""

    def __init__(self, engine: Engine, result_ids: list[UUID]) -> None:
        super().__init__(daemon=True)
        self._engine, self._result_ids = engine, result_ids
        self.written = 0
        self.unexpected: Exception | None = None

    def run(self) -> None:
        for result_id in self._result_ids:
            try:
                with Session(self._engine) as session:
                    session.add(
                        Artifact(id=uuid4(), result_id=result_id, content=b"x", upload_date=utc_now())
                    )
                    session.commit()
                self.written += 1
            except DBAPIError as error:
                if getattr(error.orig, "pgcode", None) != "23503":
                    self.unexpected = error


def test_an_artifact_about_to_be_committed_on_a_due_result_spares_it(
    engine: Engine, session: Session
) -> None:
    result = make_result(session, make_run(session), start_time=days_ago(300))
    session.commit()
    with Session(engine) as other:
        other.add(Artifact(id=uuid4(), result_id=result.id, content=b"x", upload_date=utc_now()))
        other.flush()
        summary = prune(engine, RESULTS)
        assert (summary.left, summary.deleted["results"]) == (1, 0)
        other.commit()
    assert dict(prune(engine, RESULTS).deleted) == {"results": 1, "artifacts": 1}


def test_an_upload_that_waited_for_the_prune_is_refused_by_the_database(
    engine: Engine, session: Session
) -> None:
    result = make_result(session, make_run(session), start_time=days_ago(300))
    session.commit()
    writer = _Writer(engine, [result.id])
    with Session(engine) as pruning_session:
        due = DueRows(RESULTS, days_ago(150))
        assert Sweeper(due, 10).sweep(pruning_session, None, 10).rows_of(due.root) == 1
        writer.start()
        writer.join(0.3)
        assert writer.is_alive()
        pruning_session.commit()
    writer.join(10)
    assert (writer.written, writer.unexpected) == (0, None)


class _Saver(Archiver):
    """An archiver that refuses some rows at once and finds others changed later."""

    table = "runs"

    def __init__(self, refused: set[UUID], changed: set[UUID]) -> None:
        self.refused, self._changed = refused, changed
        self.saved: set[UUID] = set()

    def archive(self, root_keys: Sequence[str]) -> set[UUID]:
        asked = set(map(UUID, root_keys))
        self.saved |= asked
        return asked - self.refused

    def find_unchanged(self, session: Session, root_ids: Collection[UUID]) -> set[UUID]:
        assert session.in_transaction()
        return set(root_ids) - self._changed

    def is_written_since(self, table: Table) -> ColumnElement[bool]:
        return table.c.id.in_(self._changed)


def test_what_an_archiver_refuses_or_finds_changed_stays_whole(engine: Engine, session: Session) -> None:
    refused, changed, free = (_old_tree(session)["runs"] for _ in range(3))
    session.commit()
    archiver = _Saver({refused}, {changed})

    tuner = BatchTuner(pause_seconds=0)
    summary = run_prune.prune(opener(engine), RUNS, 360, archiver=archiver, tuner=tuner)

    assert archiver.saved == {refused, changed, free}
    assert (summary.left, summary.unarchived) == (1, 1)
    assert dict(summary.deleted) == {"runs": 1, "results": 1, "artifacts": 1}
    assert set(session.scalars(select(Run.id))) == {refused, changed}
    assert count(engine, Result) == count(engine, Artifact) == 2


def test_a_row_that_cannot_be_deleted_is_an_error(engine: Engine, session: Session) -> None:
    _refer_from_elsewhere(session)
    with pytest.raises(RefusedError, match="comments_result_id_fkey"):
        prune(engine, RESULTS)
    assert count(engine, Result) == 1


def _refer_from_elsewhere(session: Session) -> None:
    """Put a table nobody told us of behind an old result."""
    result = make_result(session, make_run(session), start_time=days_ago(300))
    session.execute(text("create table comments (result_id uuid references results (id))"))
    session.execute(text("insert into comments values (:id)"), {"id": result.id})
    session.commit()


@pytest.fixture
def app(settings: Settings) -> DatabaseCelery:
    return build_database_app(WORKER_NAME, settings)


def run_task(app: DatabaseCelery, rule: RetentionRule, **arguments: Any) -> Any:
    """Run the rule's task right here and give what would travel back to the API server."""
    return json.loads(json.dumps(app.tasks[rule.task].apply(kwargs=arguments).get()))


@pytest.mark.parametrize("days", [7, "7"])
def test_the_import_files_task_answers_in_the_servers_words(
    app: DatabaseCelery, session: Session, days: int | str
) -> None:
    for age in (8, 9, 1):
        make_import(session, b"x", created=days_ago(age))
    session.commit()
    assert run_task(app, IMPORTS, days=days) == "Deleted 2 import records older than 7 days"
    assert run_task(app, IMPORTS, days=days) == "Deleted 0 import records older than 7 days"


@pytest.mark.parametrize("days", [0, "0", -1])
def test_the_import_files_task_says_it_skipped(app: DatabaseCelery, days: int | str) -> None:
    assert run_task(app, IMPORTS, days=days) == f"Skipped: days parameter ({days}) must be >= 1"


@pytest.mark.parametrize("months", [5, "5"])
def test_the_results_task_gives_counts(app: DatabaseCelery, session: Session, months: int | str) -> None:
    old = make_result(session, make_run(session), start_time=days_ago(151))
    make_artifact(session, old)
    session.commit()
    answer = run_task(app, RESULTS, months=months)
    assert answer["deleted"] == {"results": 1, "artifacts": 1}
    assert (answer["older_than_days"], answer["skipped"], answer["left"]) == (150, None, 0)


@pytest.mark.parametrize(
    ("rule", "months", "least"), [(FILES, 1, 2), (FILES, "-1", 2), (RESULTS, 3, 4), (RUNS, "9", 10)]
)
def test_a_task_below_its_floor_says_so_and_deletes_nothing(
    app: DatabaseCelery,
    engine: Engine,
    session: Session,
    rule: RetentionRule,
    months: int | str,
    least: int,
) -> None:
    _fill_with_old_rows(session)
    before = _counts(engine)
    answer = run_task(app, rule, months=months)
    assert answer["skipped"] == f"Skipped: months parameter ({months}) must be >= {least}"
    assert answer["deleted"] == {}
    assert _counts(engine) == before


@pytest.mark.parametrize("months", ["many", 2.9, None, True, "", [3]])
def test_a_task_refuses_what_is_no_whole_number(app: DatabaseCelery, months: Any) -> None:
    with pytest.raises(TaskArgumentsError, match="months must be a whole number"):
        run_task(app, FILES, months=months)


def test_a_task_fails_when_a_row_cannot_be_deleted(app: DatabaseCelery, session: Session) -> None:
    _refer_from_elsewhere(session)
    with pytest.raises(RefusedError, match="comments_result_id_fkey"):
        run_task(app, RESULTS, months=5)


@dataclass(frozen=True)
class Row:
    """An age in days, and the number of the parent it hangs on."""

    age_days: int
    result: int | None = None
    run: int | None = None


AGES = st.integers(min_value=0, max_value=600)
RUN_ROWS = st.lists(st.builds(Row, AGES), min_size=1, max_size=4)
RESULT_ROWS = st.lists(st.builds(Row, AGES, run=st.none() | st.integers(0, 3)), max_size=8)
ARTIFACT_ROWS = st.lists(
    st.builds(Row, AGES, result=st.none() | st.integers(0, 7), run=st.none() | st.integers(0, 3)), max_size=12
)


@given(RUN_ROWS, RESULT_ROWS, ARTIFACT_ROWS, st.sampled_from([FILES, RESULTS, RUNS]), st.integers(300, 500))
@hypothesis_settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_what_is_deleted_is_what_was_planned_and_nothing_else(
    engine: Engine,
    runs: list[Row],
    results: list[Row],
    artifacts: list[Row],
    rule: RetentionRule,
    age_days: int,
) -> None:
    now = datetime(2026, 11, 21, 12)  # noqa: DTZ001 - the database's times are naive UTC
    results = [row for row in results if row.run is None or row.run < len(runs)]
    artifacts = [
        row
        for row in artifacts
        if (row.run is None or row.run < len(runs)) and (row.result is None or row.result < len(results))
    ]
    with Session(engine) as session:
        session.execute(text("truncate runs, results, artifacts"))
        _store(session, now, runs, results, artifacts)
        session.commit()
        plan = prune_plan.plan(session, rule, age_days, now=now)

    summary = run_prune.prune(opener(engine), rule, age_days, now=now)

    assert {table.table: table.rows for table in plan.tables} == dict(summary.deleted)
    assert sum(table.size_bytes for table in plan.tables) == summary.size_bytes
    assert summary.left == 0
    left = tuple(count(engine, table) for table in (Run, Result, Artifact))
    assert left == _expected_left(rule, age_days, runs, results, artifacts)


def _store(
    session: Session, now: datetime, runs: list[Row], results: list[Row], artifacts: list[Row]
) -> None:
    def date(row: Row) -> datetime:
        return now - timedelta(days=row.age_days)

    stored_runs = [make_run(session, start_time=date(row)) for row in runs]
    stored_results = [
        make_result(
            session,
            stored_runs[0],
            run_id=None if row.run is None else stored_runs[row.run].id,
            start_time=date(row),
        )
        for row in results
    ]
    for row in artifacts:
        result = None if row.result is None else stored_results[row.result]
        run = None if row.run is None else stored_runs[row.run]
        make_artifact(session, result, run, upload_date=date(row), content=b"x" * row.age_days)


def _expected_left(
    rule: RetentionRule, age_days: int, runs: list[Row], results: list[Row], artifacts: list[Row]
) -> tuple[int, int, int]:
    """Say the same in Python: what is old goes, and what hangs on what goes."""

    def old(row: Row, table: str) -> bool:
        return rule.table == table and row.age_days > age_days

    gone_runs = {number for number, row in enumerate(runs) if old(row, "runs")}
    gone_results = {
        number for number, row in enumerate(results) if old(row, "results") or row.run in gone_runs
    }
    kept_artifacts = [
        row
        for row in artifacts
        if not (old(row, "artifacts") or row.result in gone_results or row.run in gone_runs)
    ]
    return len(runs) - len(gone_runs), len(results) - len(gone_results), len(kept_artifacts)
