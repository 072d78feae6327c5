"""A prune beside others: one at a time, stopped and gone on with, waiting; projects with their own ages."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from ibutsu_tasks.errors import BusyError, DatabaseUnreachableError, RefusedError
from ibutsu_tasks.ibutsu.database.models import Artifact, Import, Result, Run
from ibutsu_tasks.ibutsu.retention import RULES_BY_NAME
from ibutsu_tasks.retention import batches, run_prune, watch
from ibutsu_tasks.retention import plan as prune_plan
from ibutsu_tasks.retention.batches import BatchTuner
from ibutsu_tasks.retention.monitor import PruneMonitor, PruneProgress
from ibutsu_tasks.retention.watch import PRUNE_LOCK, take_prune_lock
from ibutsu_tasks.settings import Settings, load_settings
from tests.factories import make_artifact, make_import, make_project, make_result, make_run, utc_now

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Engine

    from ibutsu_tasks.resources import Resources

FILES, RESULTS, RUNS, IMPORTS = (RULES_BY_NAME[name] for name in ("files", "results", "runs", "imports"))


def with_ages(ages: str) -> Settings:
    return load_settings(environ={"IBUTSU_TASKS_RETENTION": ages})


class Monitor(PruneMonitor):
    """Remembers what is reported, and says stop when it is told to."""

    def __init__(
        self,
        *,
        on_report: Callable[[], None] = lambda: None,
        stop_when: Callable[[list[PruneProgress]], bool] = lambda _: False,
    ) -> None:
        self._on_report, self._stop_when = on_report, stop_when
        self.reports: list[PruneProgress] = []

    def report(self, progress: PruneProgress) -> None:
        self.reports.append(progress)
        self._on_report()

    def should_stop(self) -> bool:
        return self._stop_when(self.reports)


@contextmanager
def another_prune(engine: Engine) -> Iterator[Session]:
    with Session(engine) as holder:
        take_prune_lock(holder)
        yield holder


def store_files(session: Session, number: int) -> None:
    old = utc_now() - timedelta(days=200)
    rows = [{"id": uuid4(), "upload_date": old, "content": b"x"} for _ in range(number)]
    session.bulk_insert_mappings(Artifact, rows)
    session.commit()


def files_left(session: Session) -> int:
    session.rollback()
    return len(session.scalars(select(Artifact.id)).all())


def test_a_second_prune_is_told_since_when_and_by_whom_and_may_run_later(
    engine: Engine, session: Session, resources: Resources
) -> None:
    store_files(session, 1)
    with another_prune(engine) as holder:
        holder.execute(text("set application_name = 'ibutsu-tasks/prune@elsewhere'"))
        with pytest.raises(
            BusyError, match=r"running since 20\d\d-.* UTC \(ibutsu-tasks/prune@elsewhere\)\."
        ):
            run_prune.prune(resources.session, FILES, 90)
    assert files_left(session) == 1
    assert run_prune.prune(resources.session, FILES, 90).deleted["artifacts"] == 1


def test_the_lock_keeps_nothing_from_being_vacuumed(engine: Engine, session: Session) -> None:
    with another_prune(engine) as holder:
        pid = holder.scalar(text("select pg_backend_pid()"))
        query = "select state, backend_xmin, backend_xid from pg_stat_activity where pid = :pid"
        assert session.execute(text(query), {"pid": pid}).one() == ("idle in transaction", None, None)
        timeouts = "select current_setting('idle_in_transaction_session_timeout')"
        assert holder.scalar(text(timeouts)) == "0"


def test_a_prune_that_loses_its_lock_stops(
    engine: Engine, session: Session, resources: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_files(session, 1500)
    monkeypatch.setattr(watch, "LOOK_SECONDS", 0)
    query = "select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' and objid = :low"

    def lose() -> None:
        with engine.begin() as connection:
            connection.execute(text(query), {"low": PRUNE_LOCK & 0xFFFFFFFF})

    with pytest.raises(DatabaseUnreachableError):
        run_prune.prune(resources.session, FILES, 90, monitor=Monitor(on_report=lose))
    assert 0 < files_left(session) < 1500


def test_it_stops_between_batches_and_the_same_call_goes_on(session: Session, resources: Resources) -> None:
    store_files(session, 1500)
    monitor = Monitor(stop_when=lambda reports: len(reports) == 2)
    told = monitor.reports

    def prune() -> run_prune.PruneSummary:
        return run_prune.prune(resources.session, FILES, 90, monitor=monitor)

    first = prune()
    assert first.stopped
    assert told[-1].batches == 2
    assert first.deleted["artifacts"] == told[-1].rows == 1500 - files_left(session)
    assert first.as_json()["stopped"] is True
    second = prune()
    assert not second.stopped
    assert first.deleted["artifacts"] + second.deleted["artifacts"] == 1500
    assert files_left(session) == 0


def test_it_waits_for_autovacuum_says_so_and_not_for_ever(
    session: Session,
    resources: Resources,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    store_files(session, 1)
    monkeypatch.setattr(watch, "MAX_DEAD_ROWS", -1)
    monkeypatch.setattr(watch, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(watch, "MAX_PAUSES_SECONDS", 0.05)
    monitor = Monitor()

    summary = run_prune.prune(resources.session, FILES, 90, monitor=monitor)

    assert (summary.left, summary.deleted["artifacts"]) == (0, 1)
    assert "dead rows of artifacts wait for autovacuum" in str(monitor.reports[-1].waiting_for)
    assert "continues after 10 minutes of pauses" in caplog.text


def test_a_pause_ends_when_it_is_asked_to_stop(
    session: Session, resources: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_files(session, 1500)
    monkeypatch.setattr(watch, "MAX_DEAD_ROWS", -1)
    monitor = Monitor(stop_when=lambda reports: bool(reports and reports[-1].waiting_for))
    summary = run_prune.prune(resources.session, FILES, 90, monitor=monitor)
    assert summary.stopped
    assert files_left(session) > 0


def test_a_slot_nobody_reads_is_not_waited_for(
    session: Session, resources: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "MAX_LAG_BYTES", -1)
    session.execute(text("select pg_create_physical_replication_slot('abandoned', true)"))
    session.commit()
    try:
        with resources.session() as looking:
            assert watch.what_is_behind(looking, ["artifacts"]) is None
    finally:
        session.execute(text("select pg_drop_replication_slot('abandoned')"))
        session.commit()


def test_large_content_makes_small_batches(
    session: Session, resources: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "BYTES_PER_WEIGHT", 10)
    run = make_run(session)
    for _ in range(10):
        result = make_result(session, run, start_time=utc_now() - timedelta(days=200))
        make_artifact(session, result, content=uuid4().bytes * 100, upload_date=utc_now())
    session.commit()
    monitor = Monitor()
    tuner = BatchTuner(weight=5, highest_weight=20)
    summary = run_prune.prune(resources.session, RESULTS, 150, monitor=monitor, tuner=tuner)
    assert dict(summary.deleted) == {"results": 10, "artifacts": 10}
    # What the first five hold says that the others are best taken one by one.
    assert [progress.rows for progress in monitor.reports] == [10, *range(12, 21, 2)]


def _store_run(session: Session, project_id: UUID | None, days: int) -> UUID:
    return make_run(session, project_id=project_id, start_time=utc_now() - timedelta(days=days)).id


def _store_result(session: Session, project_id: UUID | None, days: int) -> UUID:
    run = make_run(session, project_id=project_id)
    return make_result(session, run, start_time=utc_now() - timedelta(days=days)).id


def _store_file_of_run(session: Session, project_id: UUID | None, days: int) -> UUID:
    run = make_run(session, project_id=project_id)
    return make_artifact(session, run=run, upload_date=utc_now() - timedelta(days=days)).id


def _store_file_of_result(session: Session, project_id: UUID | None, days: int) -> UUID:
    result = make_result(session, make_run(session, project_id=project_id))
    return make_artifact(session, result, upload_date=utc_now() - timedelta(days=days)).id


def _store_import(session: Session, project_id: UUID | None, days: int) -> UUID:
    data = {"project_id": str(project_id)} if project_id else {}
    return make_import(session, b"x", data=data, created=utc_now() - timedelta(days=days)).id


@pytest.mark.parametrize(
    ("rule", "table", "store"),
    [
        (RUNS, Run, _store_run),
        (RESULTS, Result, _store_result),
        (FILES, Artifact, _store_file_of_run),
        (FILES, Artifact, _store_file_of_result),
        (IMPORTS, Import, _store_import),
    ],
)
def test_a_project_has_its_own_age(
    session: Session,
    resources: Resources,
    rule: Any,
    table: Any,
    store: Callable[[Session, UUID | None, int], UUID],
) -> None:
    other, shorter, longer, kept = (
        make_project(session, name).id for name in ("other", "short", "long", "keep")
    )
    least, usual, most = rule.minimum_age_days, rule.minimum_age_days + 30, rule.minimum_age_days + 60
    settings = with_ages(f"short:{rule.name}={least}d,{longer}:{rule.name}={most}d,keep:{rule.name}=never")
    rows = {
        (project, days): store(session, project, days)
        for project in (None, other, shorter, longer, kept)
        for days in (least + 1, usual + 1, most + 1)
    }
    session.commit()

    plan = prune_plan.plan(session, rule, usual, settings)
    summary = run_prune.prune(resources.session, rule, usual, settings)

    due_from = {None: usual, other: usual, shorter: least, longer: most, kept: 10**6}
    stays = {row_id for (project, days), row_id in rows.items() if days < due_from[project]}
    session.rollback()
    assert stays <= set(session.scalars(select(table.id)))
    assert set(rows.values()) & set(session.scalars(select(table.id))) == stays
    assert plan.tables[0].rows == summary.deleted[rule.table] == len(rows) - len(stays)


@pytest.mark.parametrize("kept_first", [True, False])
@pytest.mark.parametrize("rows", [0, 19, 20, 21, 100])
def test_rows_that_are_kept_are_passed_over_in_batches_of_their_own(
    session: Session, resources: Resources, rows: int, *, kept_first: bool
) -> None:
    kept = make_project(session, "keep").id
    for number in range(rows):
        _store_result(session, kept, 300 - number if kept_first else 180)
    for number in range(5):
        _store_result(session, None, 200 + number * 20)
    session.commit()
    settings = with_ages("keep:results=never")
    monitor = Monitor()
    # A window of twenty rows.
    tuner = BatchTuner(1, 1, 1)
    summary = run_prune.prune(resources.session, RESULTS, 150, settings, monitor=monitor, tuner=tuner)
    assert (summary.deleted["results"], summary.left, len(monitor.reports)) == (5, 0, 5)
    assert session.scalars(select(Result.project_id)).all().count(kept) == rows


@pytest.mark.parametrize("project_id", ["", "no id", 5, None, ["x"], "{}", "a" * 36])
def test_an_import_whose_project_is_no_id_goes_like_all_others(
    session: Session, resources: Resources, project_id: Any
) -> None:
    make_project(session, "keep")
    old = utc_now() - timedelta(days=30)
    make_import(session, b"x", data={"project_id": project_id}, created=old)
    session.commit()
    settings = with_ages("keep:imports=never")
    assert prune_plan.plan(session, IMPORTS, 7, settings).tables[0].rows == 1
    session.commit()
    assert run_prune.prune(resources.session, IMPORTS, 7, settings).deleted["imports"] == 1


def test_a_project_nobody_knows_stops_the_prune(session: Session, resources: Resources) -> None:
    store_files(session, 1)
    settings = with_ages("dmeo:files=never")
    for ask in (
        lambda: prune_plan.plan(session, FILES, 90, settings),
        lambda: run_prune.prune(resources.session, FILES, 90, settings),
    ):
        with pytest.raises(RefusedError, match="names the project 'dmeo', which does not exist"):
            ask()
    assert files_left(session) == 1
    assert run_prune.prune(resources.session, IMPORTS, 7, settings).left == 0


@pytest.mark.parametrize("moment", ["0044-03-15 BC", "-infinity"])
def test_a_date_python_has_no_value_for_goes_and_is_kept_for_ever(
    session: Session, resources: Resources, moment: str
) -> None:
    kept = make_project(session, "kept").id
    for project_id in (kept, None, None):
        make_run(session, project_id=project_id)
    session.execute(text("update runs set start_time = cast(:moment as timestamp)"), {"moment": moment})
    session.commit()
    settings = with_ages("kept:runs=never")

    table = prune_plan.plan(session, RUNS, 360, settings).tables[0]
    session.commit()
    # The next batch begins after such a date.
    small = BatchTuner(1, 1, 1)
    summary = run_prune.prune(resources.session, RUNS, 360, settings, tuner=small)

    assert (table.rows, table.oldest, table.newest) == (2, datetime.min, datetime.min)  # noqa: DTZ901
    assert (summary.deleted["runs"], summary.left) == (2, 0)
    assert session.scalars(select(Run.project_id)).all() == [kept]
