"""A file becomes a run, all of it or nothing, the same however often."""

from __future__ import annotations

import json
import re
import signal
import time
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from threading import Barrier, Event, main_thread
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import create_engine, delete, event, func, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from ibutsu_tasks.database import engine as database_engine
from ibutsu_tasks.errors import BusyError, InvalidImportError, RefusedError
from ibutsu_tasks.ibutsu.database.models import Artifact, Import, ImportFile, Result, Run
from ibutsu_tasks.ibutsu.importers.indexed_values import INDEXED_DATA, INDEXED_IN
from ibutsu_tasks.ibutsu.importers.parsed import ImportLimits, ParsedFile, ParsedResult, ParsedRun
from ibutsu_tasks.ibutsu.operations.imports.columns import References, RowTarget
from ibutsu_tasks.ibutsu.operations.imports.content import clear_content, open_content
from ibutsu_tasks.ibutsu.operations.imports.records import find_locked, mark_failed, parse_import_id, start
from ibutsu_tasks.ibutsu.operations.imports.rows import RowWriter, WriteLimits
from ibutsu_tasks.ibutsu.operations.imports.run_import import ImportSummary, run_import
from ibutsu_tasks.ibutsu.operations.run_summary import complete, refresh
from ibutsu_tasks.temporary_errors import is_temporary
from tests.commands import until
from tests.factories import make_import, make_project, make_result, make_run, utc_now
from tests.sample_files import ARCHIVE, JUNIT, RESULT_IDS, RUN_ID, archive, result_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Engine

LIMITS = ImportLimits()
REPORTS = Path(__file__).parents[3] / "data" / "reports"


def import_now(session: Session, row: Import, **options: Any) -> ImportSummary:
    start(session, row.id)
    summary = run_import(session, row.id, "junit", LIMITS, **options)
    session.commit()
    return summary


def snapshot(session: Session) -> dict[str, list[Any]]:
    """Everything the import wrote, less the times it was written at."""
    session.rollback()
    tables: dict[str, list[Any]] = {}
    for model in (Run, Result, Artifact):
        rows = session.execute(select(model.__table__).order_by(model.id)).mappings()
        left_out = {"created", "upload_date"}
        tables[model.__tablename__] = [{k: v for k, v in row.items() if k not in left_out} for row in rows]
    return tables


def count(session: Session, model: Any) -> int | None:
    return session.scalar(select(func.count()).select_from(model))


def test_a_run_whose_data_are_no_object_takes_the_files(session: Session) -> None:
    run = make_run(session, data=["odd"])
    import_now(session, make_import(session, JUNIT, filename=f"{run.id}.xml"))
    assert session.get_one(Run, run.id, populate_existing=True).data["component"] == "shop"


def test_junit_file_becomes_a_run_with_results_and_artifacts(session: Session) -> None:
    project = make_project(session)
    data = {"project_id": str(project.id), "metadata": {"env": "prod"}, "source": "ci"}
    row = make_import(session, JUNIT, data=data)
    before = utc_now()
    summary = import_now(session, row)

    run = session.scalars(select(Run)).one()
    assert run.summary == complete({"tests": 3, "failures": 1, "skips": 1}, 0)
    assert (run.start_time, run.duration) == (datetime(2026, 11, 21, 9), 9.5)  # noqa: DTZ001
    assert (run.env, run.component, run.source, run.project_id) == ("prod", "shop", "ci", project.id)
    suites = [{"path": [], "attributes": {"timestamp": "2026-11-21T10:00:00+01:00"}}]
    assert run.data == {"component": "shop", "env": "prod", "suites": suites}
    assert before <= run.created <= utc_now()

    results = {one.test_id: one for one in session.scalars(select(Result))}
    added = results["TestCart.test_add"]
    assert (added.run_id, added.project_id, added.start_time) == (run.id, project.id, run.start_time)
    assert (added.result, added.duration, added.params) == ("passed", 1.5, {})
    assert (added.env, added.component, added.source) == ("prod", "shop", "ci")
    assert added.data is not None
    assert (added.data["run"], added.data["fspath"], added.data["line"]) == (
        str(run.id),
        "tests/test_shop.py",
        "7",
    )

    removed = results["TestCart.test_remove"]
    artifacts = {one.filename: one for one in session.scalars(select(Artifact))}
    assert artifacts.keys() == {"traceback.log", "system-out.log"}
    assert artifacts["traceback.log"].content == b"trace"
    assert artifacts["traceback.log"].data == {"contentType": "text/plain", "resultId": str(removed.id)}
    assert (artifacts["traceback.log"].result_id, artifacts["traceback.log"].run_id) == (removed.id, None)

    assert (row.status, row.data) == ("done", data | {"run_id": [str(run.id)]})
    assert session.scalars(select(ImportFile.content)).all() == [None]
    assert (summary.run_id, summary.results, summary.artifacts) == (run.id, 3, 2)
    assert summary.runs_to_update == ()
    assert json.loads(json.dumps(summary.as_json()))["run_id"] == str(run.id)


def test_archive_becomes_a_run_with_results_and_artifacts(session: Session) -> None:
    summary = import_now(session, make_import(session, ARCHIVE, filename="x.tar.gz"))

    run = session.scalars(select(Run)).one()
    assert (run.id, run.data) == (RUN_ID, {"build": {"number": 1}})
    assert run.summary == complete({"tests": 3, "failures": 1}, 0)
    assert set(session.scalars(select(Result.id))) == set(RESULT_IDS)
    owners = {one.filename: (one.result_id, one.run_id) for one in session.scalars(select(Artifact))}
    assert owners == {"session.txt": (None, RUN_ID), "traceback.log": (RESULT_IDS[0], None)}
    assert (summary.format, summary.runs_to_update) == ("archive", (RUN_ID,))


@pytest.mark.parametrize("content", [JUNIT, ARCHIVE])
@pytest.mark.parametrize("batch_rows", [1, 2, 2000])
def test_same_import_again_ends_in_the_same_rows(session: Session, content: bytes, batch_rows: int) -> None:
    limits = WriteLimits(rows=batch_rows)
    row = make_import(session, content)
    import_now(session, row, write_limits=limits)
    once = snapshot(session)
    for status in ("done", "error", "running"):
        row.status = status
        session.scalars(select(ImportFile)).one().content = content
        assert not import_now(session, row, write_limits=limits).already_done
        assert row.status == "done"
        assert snapshot(session) == once


def test_done_import_without_content_stays_done(session: Session) -> None:
    row = make_import(session, JUNIT)
    first = import_now(session, row)
    again = import_now(session, row)
    assert (again.already_done, again.run_id, again.runs_to_update) == (True, first.run_id, ())
    assert row.status == "done"


def test_same_file_uploaded_twice_under_a_run_s_id_is_one_run(session: Session) -> None:
    for _ in range(2):
        import_now(session, make_import(session, JUNIT, filename=f"{RUN_ID}.xml"))
    assert session.scalars(select(Run.id)).all() == [RUN_ID]
    assert (count(session, Result), count(session, Artifact)) == (3, 2)


def test_same_file_uploaded_twice_under_a_plain_name_is_two_runs(session: Session) -> None:
    for _ in range(2):
        import_now(session, make_import(session, JUNIT))
    assert (count(session, Run), count(session, Result)) == (2, 6)


@pytest.mark.parametrize("same_import", [True, False])
@pytest.mark.parametrize("content", [JUNIT, ARCHIVE])
def test_two_deliveries_at_once_are_one_run(
    session: Session, engine: Engine, same_import: bool, content: bytes
) -> None:
    name = f"{RUN_ID}.xml"
    ids = [make_import(session, content, filename=name).id for _ in range(2)]
    session.commit()
    barrier = Barrier(2)

    def deliver(import_id: UUID) -> ImportSummary:
        with Session(engine) as own, own.begin():
            barrier.wait(10)
            return run_import(own, import_id, "junit", LIMITS)

    with ThreadPoolExecutor(2) as pool:
        summaries = list(pool.map(deliver, [ids[0], ids[0] if same_import else ids[1]]))
    assert sorted(one.already_done for one in summaries) == [False, same_import]
    assert {one.run_id for one in summaries} == {RUN_ID}
    assert (count(session, Run), count(session, Result), count(session, Artifact)) == (1, 3, 2)


def test_result_that_another_import_writes_at_once_is_met_in_a_second_try(
    session: Session, engine: Engine
) -> None:
    row = make_import(session, ARCHIVE, filename="a.tar.gz")
    session.commit()
    other_id = make_run(session).id
    session.add(Result(id=RESULT_IDS[1], run_id=other_id, start_time=utc_now()))
    session.flush()

    def deliver() -> ImportSummary:
        with Session(engine) as own, own.begin():
            return run_import(own, row.id, "archive", LIMITS)

    with ThreadPoolExecutor(1) as pool:
        delivery = pool.submit(deliver)
        assert_waits_for_a_lock(engine)
        session.commit()
        assert delivery.result(30).results == 3
    assert session.scalars(select(Result.run_id)).all() == [RUN_ID] * 3
    session.refresh(row)
    assert row.status == "done"


@pytest.mark.parametrize("times", [1, 100])
def test_run_that_is_deleted_just_when_it_was_found_is_made(
    session: Session, engine: Engine, times: int
) -> None:
    row = make_import(session, ARCHIVE, filename="a.tar.gz")
    session.commit()
    others = create_engine(engine.url)
    made: list[UUID] = []

    def make_it(_: Any, __: Any, statement: str, *___: Any) -> None:
        if statement.startswith("INSERT INTO runs") and len(made) < times:
            with Session(others) as other, other.begin():
                made.append(make_run(other, id=RUN_ID).id)

    def delete_it(_: Any, __: Any, statement: str, *___: Any) -> None:
        if statement.startswith("INSERT INTO runs"):
            with Session(others) as other, other.begin():
                other.execute(delete(Run))

    event.listen(engine, "before_cursor_execute", make_it)
    event.listen(engine, "after_cursor_execute", lambda *given: delete_it(*given) if made else None)
    if times == 1:
        import_now(session, row)
        assert count(session, Result) == 3
    else:
        with pytest.raises(BusyError, match=f"run {RUN_ID} is made and deleted"):
            import_now(session, row)
    others.dispose()


def test_what_others_write_in_every_try_is_tried_again_later(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = make_import(session, ARCHIVE, filename="a.tar.gz")
    make_result(session, make_run(session), id=RESULT_IDS[1])
    session.commit()
    # As if each were written just after it was looked for.
    monkeypatch.setattr(RowWriter, "_meet_results", lambda *_: None)
    with pytest.raises(BusyError, match=r"write the rows of a\.tar\.gz"):
        import_now(session, row)


def assert_waits_for_a_lock(engine: Engine) -> None:
    # A wait for somebody's transaction names no database; the tests run one at a time.
    waiting = text("select 1 from pg_locks where not granted")

    def is_waiting() -> bool:
        with engine.connect() as watcher:
            return watcher.scalar(waiting) is not None

    until(is_waiting)
    assert is_waiting()


def test_import_in_use_is_waited_for_only_so_long(
    session: Session, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = make_import(session, JUNIT)
    session.commit()
    monkeypatch.setattr(database_engine, "LOCK_TIMEOUT_SECONDS", 1)
    for lock in (find_locked, content_of):
        lock(session, row.id)
        with Session(engine) as other, pytest.raises(DBAPIError) as caught:
            lock(other, row.id)
        assert is_temporary(caught.value)
        session.rollback()


def content_of(session: Session, import_id: UUID) -> bytes | None:
    with open_content(session, import_id) as content:
        return None if content is None else content.read()


def test_who_marks_a_running_import_failed_does_not_wait_for_its_end(
    session: Session, engine: Engine
) -> None:
    row = make_import(session, JUNIT)
    marked: list[str | None] = []

    def mark(*_: int) -> None:
        with Session(engine) as other:
            mark_failed(other, row.id, "its time is over")
            other.commit()
            marked.append(other.scalar(select(Import.status)))

    start(session, row.id)
    session.commit()
    run_import(session, row.id, "junit", LIMITS, mark)
    session.commit()
    assert set(marked) == {"error"}
    # What it wrote is there all the same, and no more is wrong with it.
    assert row.status == "done"
    assert row.data is not None
    assert row.data.keys() == {"run_id"}
    assert count(session, Result) == 3


def test_a_failure_marked_meanwhile_does_not_outlive_an_import_that_changes_nothing(
    session: Session, engine: Engine
) -> None:
    row = make_import(session, ARCHIVE)
    import_now(session, row)
    row.status = "pending"
    session.scalars(select(ImportFile)).one().content = ARCHIVE
    session.commit()

    def mark(*_: int) -> None:
        with Session(engine) as other, other.begin():
            mark_failed(other, row.id, "its time is over")

    run_import(session, row.id, "archive", LIMITS, mark)
    session.commit()
    session.refresh(row)
    assert row.data is not None
    assert (row.status, row.data.keys()) == ("done", {"run_id"})


def test_content_is_cleared_behind_a_running_import_not_across_it(session: Session, engine: Engine) -> None:
    row = make_import(session, JUNIT, status="done")
    session.commit()

    def clear() -> str:
        with Session(engine) as other, other.begin():
            return clear_content(other, str(row.id))

    with ThreadPoolExecutor(1) as pool:
        clearing: list[Future[str]] = []

        def clear_meanwhile(*_: int) -> None:
            if not clearing:
                clearing.append(pool.submit(clear))
                assert_waits_for_a_lock(engine)

        run_import(session, row.id, "junit", LIMITS, clear_meanwhile)
        session.commit()
        assert clearing[0].result(30) == f"No content to clear for import {row.id}"
    assert count(session, Result) == 3


def test_failure_on_the_way_leaves_nothing_and_keeps_the_content(session: Session) -> None:
    broken = JUNIT[:-40]
    row = make_import(session, broken)
    session.commit()
    with pytest.raises(InvalidImportError, match=r"a\.xml") as caught:
        import_now(session, row)
    session.rollback()
    mark_failed(session, row.id, str(caught.value))
    session.commit()

    assert (count(session, Run), count(session, Result)) == (0, 0)
    assert row.status == "error"
    assert row.data == {"error": str(caught.value)}
    assert session.scalars(select(ImportFile.content)).all() == [broken]

    session.scalars(select(ImportFile)).one().content = JUNIT
    import_now(session, row)
    assert row.status == "done"
    assert row.data.keys() == {"run_id"}


def test_done_import_is_not_marked_failed_nor_running(session: Session) -> None:
    row = make_import(session, None, status="done")
    mark_failed(session, row.id, "too late")
    start(session, row.id)
    assert (row.status, row.data) == ("done", {})


def test_sentence_of_a_failure_may_hold_anything(session: Session) -> None:
    row = make_import(session, JUNIT, data=None)
    mark_failed(session, row.id, "odd \0 \ud800")
    session.commit()
    session.refresh(row)
    assert row.data == {"error": "odd \ufffd \ufffd"}
    mark_failed(session, uuid4(), "nobody reads it")


def test_import_without_content_has_its_sentence(session: Session) -> None:
    row = make_import(session, None, filename="lost.xml")
    with pytest.raises(InvalidImportError, match=r"lost\.xml is no longer stored; upload the file again"):
        import_now(session, row)


def test_unknown_import_is_refused(session: Session) -> None:
    with pytest.raises(RefusedError, match="There is no import"):
        start(session, uuid4())


@pytest.mark.parametrize("message", [None, [], "x", {}, {"id": None}, {"id": "x"}, {"id": ["x"]}, {"id": 7}])
def test_message_without_an_id_is_refused(message: object) -> None:
    with pytest.raises(RefusedError, match="The message names no import"):
        parse_import_id(message)


def test_message_with_an_id_is_read() -> None:
    assert parse_import_id({"id": str(RUN_ID), "status": "pending"}) == RUN_ID


def test_existing_run_keeps_what_the_archive_lacks(session: Session) -> None:
    run = make_run(
        session,
        id=RUN_ID,
        env="kept",
        data={"build": {"number": 0, "url": "u"}, "own": 1},
        summary={"collected": 9},
    )
    created = run.created
    import_now(session, make_import(session, ARCHIVE))
    session.refresh(run)
    assert run.data == {"build": {"number": 1, "url": "u"}, "own": 1}
    assert (run.env, run.created) == ("kept", created)
    assert run.start_time == datetime(2026, 11, 21, 8)  # noqa: DTZ001
    assert run.summary == complete({"tests": 3, "failures": 1}, 9)


def test_existing_result_is_moved_and_its_old_run_told(session: Session) -> None:
    other = make_run(session)
    make_result(session, other, id=RESULT_IDS[0], test_id="own name", result="passed")
    summary = import_now(session, make_import(session, ARCHIVE))

    moved = session.get_one(Result, RESULT_IDS[0], populate_existing=True)
    assert (moved.run_id, moved.test_id, moved.result) == (RUN_ID, "own name", "passed")
    assert count(session, Result) == 3
    assert summary.runs_to_update == (RUN_ID,)
    session.refresh(other)
    assert other.summary is not None
    assert other.summary["tests"] == 0
    assert session.scalar(select(Artifact.content).where(Artifact.result_id == moved.id)) == b"trace"


def test_archive_without_a_run_starts_with_its_earliest_result(session: Session) -> None:
    content = archive(None, [result_json(1), result_json(0), result_json(2, start_time=None)])
    row = make_import(session, content)
    import_now(session, row)
    run = session.scalars(select(Run)).one()
    assert run.start_time == datetime(2026, 11, 21, 8)  # noqa: DTZ001
    assert session.get_one(Result, RESULT_IDS[2]).start_time == run.start_time
    assert row.data is not None
    assert any(str(RESULT_IDS[2]) in warning for warning in row.data["warnings"])


@pytest.mark.parametrize("by", ["name", "id"])
def test_project_named_by_the_file(session: Session, by: str) -> None:
    project = make_project(session, "shop")
    named = project.name if by == "name" else str(project.id)
    naming = f'<properties><property name="project" value="{named}"/></properties>'
    early = f'<testsuite>{naming}<testcase name="a"/></testsuite>'
    late = f'<testsuite><testcase name="a"/>{naming}</testsuite>'
    started = {"id": str(RUN_ID), "start_time": "2026-11-21T08:00:00"}
    results = [result_json(0), result_json(1, metadata={"project": named})]
    for content in (early.encode(), late.encode(), archive(started, results)):
        import_now(session, make_import(session, content))
    assert session.scalars(select(Run.project_id)).all() == [project.id] * 3
    assert session.scalars(select(Result.project_id)).all() == [project.id] * 4


def test_project_named_late_in_an_archive_is_that_of_all_it_brings(session: Session) -> None:
    named = make_project(session, "shop")
    make_run(session, id=RUN_ID)
    make_result(session, make_run(session), id=RESULT_IDS[2])
    started = {"id": str(RUN_ID), "start_time": "2026-11-21T08:00:00"}
    late = result_json(1, metadata={"project": named.name})
    import_now(session, make_import(session, archive(started, [result_json(0), late, result_json(2)])))
    assert session.get_one(Run, RUN_ID).project_id == named.id
    of_run = select(Result.project_id).where(Result.run_id == RUN_ID)
    assert session.scalars(of_run).all() == [named.id] * 3


def test_project_of_the_upload_wins(session: Session) -> None:
    project = make_project(session, "shop")
    data = {"project_id": str(project.id), "metadata": {"project": "nowhere"}}
    import_now(session, make_import(session, JUNIT, data=data))
    assert session.scalars(select(Run.project_id)).all() == [project.id]


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ({"project_id": str(RUN_ID)}, f"project {RUN_ID}, which does not exist"),
        ({"project_id": "odd"}, "project odd, which does not exist"),
    ],
)
def test_unknown_project_is_a_sentence(session: Session, data: dict[str, Any], sentence: str) -> None:
    row = make_import(session, JUNIT, data=data)
    with pytest.raises(InvalidImportError, match=sentence):
        import_now(session, row)


@pytest.mark.parametrize("content", [JUNIT, ARCHIVE])
@pytest.mark.parametrize("name", ["nowhere", str(RUN_ID), "odd \x1b"])
def test_project_that_the_file_names_and_that_is_not_there_is_a_warning(
    session: Session, content: bytes, name: str
) -> None:
    summary = import_now(session, make_import(session, content, data={"metadata": {"project": name}}))
    assert session.scalars(select(Run.project_id)).all() == [None]
    assert summary.results == 3
    (warning,) = summary.warnings
    shown_name = name.replace("\x1b", "\ufffd")
    assert f'The file names the project "{shown_name}", which does not exist' in warning


def test_file_without_cases_keeps_the_counts_it_claims(session: Session) -> None:
    row = make_import(session, b'<testsuite tests="10" failures="2" skipped="1" time="3"/>')
    import_now(session, row)
    run = session.scalars(select(Run)).one()
    claimed = complete({"tests": 10, "failures": 2, "skips": 1}, 0)
    assert run.summary == claimed
    assert (run.data, run.duration) == ({"summary_source": "file"}, 3.0)
    assert refresh(session, run.id) == claimed


def test_file_without_anything_is_an_empty_run(session: Session) -> None:
    import_now(session, make_import(session, b'<testsuites tests="0"/>'))
    run = session.scalars(select(Run)).one()
    assert (run.summary, run.data, run.duration) == (complete({}, 0), {}, 0.0)


def test_counts_claimed_by_attributes_lose_against_the_cases(session: Session) -> None:
    cases = b'<testcase name="a" time="0.5"/><testcase name="b" time="1"/>'
    content = b'<testsuite tests="9" failures="9">' + cases + b"</testsuite>"
    import_now(session, make_import(session, content))
    run = session.scalars(select(Run)).one()
    assert (run.summary, run.duration) == (complete({"tests": 2}, 0), 1.5)


def test_file_with_cases_ends_the_counts_of_one_without(session: Session) -> None:
    name = f"{RUN_ID}.xml"
    import_now(session, make_import(session, b'<testsuite tests="10"/>', filename=name))
    import_now(session, make_import(session, JUNIT, filename=name))
    run = session.scalars(select(Run)).one()
    assert run.summary == complete({"tests": 3, "failures": 1, "skips": 1}, 0)
    assert run.data is not None
    assert "summary_source" not in run.data


def test_warnings_are_told_and_forgotten_with_the_next_try(session: Session) -> None:
    row = make_import(session, JUNIT.replace(b'time="2"', b'time="soon"'), data={"metadata": ["odd"]})
    summary = import_now(session, row)
    assert row.data is not None
    assert row.data["warnings"] == list(summary.warnings)
    assert len(summary.warnings) == 2
    row.data = row.data | {"metadata": None}
    session.scalars(select(ImportFile)).one().content = JUNIT
    import_now(session, row)
    assert "warnings" not in row.data


def test_values_too_long_for_an_index_are_cut_with_a_warning_and_kept_whole(session: Session) -> None:
    noise = "".join(chr(0x4E00 + (number * 7919) % 20000) for number in range(4000))
    jenkins = {"job_name": noise, "build_number": noise}
    columns = ("env", "component", "assignee", "classification", "exception_name")
    long: dict[str, Any] = dict.fromkeys(columns, noise)
    long |= {"SatelliteVersion": [noise], "SnapVersion": {"of": noise}, "jenkins": jenkins}
    result = result_json(0, metadata=long, result=noise, source=noise, test_id=noise)
    row = make_import(session, archive({"id": str(RUN_ID), "metadata": long}, [result]))
    summary = import_now(session, row)
    stored = session.scalars(select(Result)).one()
    assert stored.data["assignee_whole"] == noise
    assert stored.data["SatelliteVersion_whole"] == [noise]
    assert stored.data["jenkins"]["job_name_whole"] == noise
    assert stored.data["test_id_whole"] == noise
    assert stored.test_id != noise
    names = {*long, *jenkins, "source", "test_id"} - {"jenkins"}
    assert {name for name in names if f" in {name} " in str(summary.warnings)} == names


def test_the_keys_of_data_that_indexes_take_are_those_of_the_tables() -> None:
    indexes = [*Result.__table__.indexes, *Run.__table__.indexes]
    expressions = " ".join(str(one) for index in indexes for one in index.expressions)
    plain = set(re.findall(r"\(data ->> '(\w+)'", expressions))
    inner = set(re.findall(r"\(data -> '(\w+)'::text\) ->> '(\w+)'", expressions))
    assert plain == set(INDEXED_DATA)
    assert inner == {(key, name) for key, names in INDEXED_IN.items() for name in names}


def test_a_file_of_a_project_that_does_not_exist_is_imported_without_one(session: Session) -> None:
    data = {"metadata": {"project": "no where"}}
    summary = import_now(session, make_import(session, JUNIT, data=data))
    assert session.scalars(select(Run.project_id)).all() == [None]
    (warning,) = summary.warnings
    assert 'names the project "no where", which does not exist' in warning
    assert "`ibutsu-tasks import FILE --project 'no where' --create-project`" in warning


def test_results_before_the_first_date_that_can_be_start_with_the_run(session: Session) -> None:
    report = (REPORTS / "jest-suite-1970.xml").read_bytes()
    import_now(session, make_import(session, report))
    run = session.scalars(select(Run)).one()
    assert run.start_time == datetime(2026, 11, 20, 10)  # noqa: DTZ001
    assert {result.start_time for result in session.scalars(select(Result))} == {run.start_time}


@pytest.mark.parametrize(
    "content", [JUNIT, ARCHIVE, archive(None, [result_json(number) for number in range(3)], log=b"log")]
)
def test_progress_only_grows_and_ends_with_all(session: Session, content: bytes) -> None:
    calls: list[tuple[int, int, int]] = []
    import_now(
        session,
        make_import(session, content),
        on_progress=lambda *call: calls.append(call),
        write_limits=WriteLimits(rows=1),
    )
    cases, bytes_read, bytes_total = zip(*calls, strict=True)
    assert (calls[0], calls[-1]) == ((0, 0, len(content)), (3, len(content), len(content)))
    assert (list(cases), list(bytes_read)) == (sorted(cases), sorted(bytes_read))
    assert {1, 2} < set(cases)
    assert set(bytes_total) == {len(content)}


def test_times_are_utc_whatever_the_session_thinks(session: Session) -> None:
    session.connection().exec_driver_sql("set timezone = 'Pacific/Kiritimati'")
    import_now(session, make_import(session, JUNIT.replace(b'timestamp="2026-11-21T10:00:00+01:00"', b"")))
    run = session.scalars(select(Run)).one()
    for moment in (run.start_time, run.created, *session.scalars(select(Artifact.upload_date))):
        assert abs(utc_now() - moment) < timedelta(minutes=1)


class TimeLimitError(Exception):
    """What a signal handler raises, as that of Celery's soft time limit does."""


def test_nobody_rolls_back_while_the_thread_writes(engine: Engine, session: Session) -> None:
    target = RowTarget(
        make_run(session).id, None, utc_now(), utc_now(), run_existed=False, keeps_results=False
    )
    session.commit()
    unlocked = Event()

    def rows() -> Iterator[ParsedResult]:
        yield ParsedResult(uuid4(), "t", "passed", 0.0, None, {}, {}, None, None, None)
        raise InvalidImportError("The file breaks.")

    def interrupt(*_: object) -> None:
        raise TimeLimitError

    def interrupt_and_unlock(holder: Session) -> None:
        waits = text("select exists (select from pg_locks where not granted)")
        until(lambda: holder.scalar(waits), 10)
        signal.pthread_kill(main_thread().ident or 0, signal.SIGUSR1)
        time.sleep(0.2)
        unlocked.set()
        holder.rollback()

    run = ParsedRun(target.run_id, None, None, {}, None, None, None, None, {}, [])
    file = ParsedFile(run, rows())
    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        with Session(engine) as holder, ThreadPoolExecutor(1) as executor:
            holder.execute(text("lock table results in access exclusive mode"))
            held = executor.submit(interrupt_and_unlock, holder)
            with pytest.raises((TimeLimitError, InvalidImportError)):
                RowWriter(session, target, References(session), limits=WriteLimits(rows=1)).write(file)
            assert unlocked.is_set()
            held.result()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert count(session, Result) == 1
