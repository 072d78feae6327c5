"""What a project has stays its own, whatever ids an upload to another one states."""

from __future__ import annotations

import io
import json
import tarfile
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from ibutsu_tasks.errors import InvalidImportError
from ibutsu_tasks.ibutsu.database.models import Artifact, Import, ImportFile, Project, Result, Run
from ibutsu_tasks.ibutsu.importers.archive.pruned_rows import artifact_comment, result_member, run_member
from ibutsu_tasks.ibutsu.importers.parsed import ArchivedRun, ImportLimits
from ibutsu_tasks.ibutsu.importers.values import derived_id
from ibutsu_tasks.ibutsu.operations.imports.run_import import ImportSummary, run_import
from ibutsu_tasks.ibutsu.operations.run_summary import complete
from tests.factories import make_artifact, make_import, make_project, make_result, make_run, utc_now
from tests.sample_files import ARCHIVE, JUNIT, RESULT_IDS, RUN_ID, archive, result_json

if TYPE_CHECKING:
    from sqlalchemy import Engine

TABLES = (Run, Result, Artifact)
NAMED = f"{RUN_ID}.xml"
LATE = (
    b'<testsuite><testcase name="a"/>'
    b'<properties><property name="project" value="theirs"/></properties></testsuite>'
)
NAMING = archive(
    {"id": str(RUN_ID), "start_time": "2026-11-21T08:00:00", "metadata": {"project": "theirs"}},
    [result_json(0), result_json(1)],
    log=b"log",
)


@pytest.fixture
def ours(session: Session) -> Project:
    return make_project(session, "ours")


@pytest.fixture
def theirs(session: Session) -> Project:
    return make_project(session, "theirs")


def upload(
    session: Session, content: bytes, project: Project | None = None, filename: str = NAMED
) -> tuple[Import, ImportSummary]:
    data = {"project_id": str(project.id)} if project else {}
    row = make_import(session, content, filename=filename, data=data)
    summary = run_import(session, row.id, "junit", ImportLimits())
    session.commit()
    return row, summary


def rows_of(session: Session, run_id: UUID | None) -> dict[str, list[str]]:
    """Every column of a run, its results and their artifacts, as PostgreSQL writes it."""
    conditions = {
        Run: "t.id = :run",
        Result: "t.run_id = :run",
        Artifact: "t.run_id = :run or t.result_id in (select id from results where run_id = :run)",
    }
    session.expire_all()
    return {
        model.__tablename__: list(
            session.scalars(
                text(f"select t::text from {model.__tablename__} t where {condition} order by id"),  # noqa: S608
                {"run": run_id},
            )
        )
        for model, condition in conditions.items()
    }


def count(session: Session, model: Any) -> int:
    return session.scalars(select(func.count()).select_from(model)).one()


@pytest.mark.parametrize(
    ("first", "second", "names_project"),
    [
        (JUNIT, JUNIT, False),
        (ARCHIVE, ARCHIVE, False),
        (ARCHIVE, JUNIT, False),
        (JUNIT, ARCHIVE, False),
        (JUNIT, LATE, True),
        (ARCHIVE, NAMING, True),
    ],
)
def test_a_run_of_another_project_stays_and_the_upload_gets_ids_of_its_own(
    session: Session, ours: Project, theirs: Project, first: bytes, second: bytes, names_project: bool
) -> None:
    upload(session, first, ours)
    before = rows_of(session, RUN_ID)

    row, summary = upload(session, second, None if names_project else theirs)

    assert rows_of(session, RUN_ID) == before
    assert summary.run_id != RUN_ID
    own = session.get_one(Run, summary.run_id)
    assert own.project_id == theirs.id
    results = session.scalars(select(Result).where(Result.run_id == own.id)).all()
    assert len(results) == summary.results == (own.summary or {})["tests"] > 0
    assert {result.project_id for result in results} == {theirs.id}
    assert {(result.data or {})["run"] for result in results} == {str(own.id)}
    assert row.data is not None
    assert (row.status, row.data["run_id"]) == ("done", [str(own.id)])
    (warning,) = [one for one in row.data["warnings"] if "own" in one]
    assert f"Another project has the run {RUN_ID}" in warning
    assert str(own.id) in warning
    files = session.scalars(select(Artifact).where(Artifact.result_id.in_([one.id for one in results])))
    assert all((file.data or {})["resultId"] == str(file.result_id) for file in files)
    after = {model: count(session, model) for model in TABLES}

    session.scalars(select(ImportFile).where(ImportFile.import_id == row.id)).one().content = second
    assert run_import(session, row.id, "junit", ImportLimits()).run_id == own.id
    session.commit()
    assert rows_of(session, RUN_ID) == before
    assert {model: count(session, model) for model in TABLES} == after


@pytest.mark.parametrize(
    ("first", "second"), [("ours", "ours"), ("ours", None), (None, "ours"), (None, None)]
)
@pytest.mark.parametrize("content", [JUNIT, ARCHIVE])
def test_the_same_project_or_one_not_known_updates_the_run(
    session: Session, ours: Project, first: str | None, second: str | None, content: bytes
) -> None:
    for name in (first, second):
        _, summary = upload(session, content, ours if name else None)
        assert (summary.run_id, summary.warnings) == (RUN_ID, ())
    assert (count(session, Run), count(session, Result)) == (1, 3)
    assert session.scalars(select(Run.project_id)).one() == (ours.id if first or second else None)


@pytest.mark.parametrize("of_run", [True, False])
def test_results_of_another_project_stay_and_are_named(
    session: Session, ours: Project, theirs: Project, of_run: bool
) -> None:
    run = make_run(session, project_id=ours.id, summary=complete({"tests": 1}, 0))
    # The project of a result is its run's where it says none of its own.
    taken = make_result(session, run, id=RESULT_IDS[2], project_id=None if of_run else ours.id)
    make_artifact(session, taken, content=b"ours")
    session.commit()
    before = rows_of(session, run.id)

    _, summary = upload(session, ARCHIVE, theirs)

    assert rows_of(session, run.id) == before
    assert summary.run_id != RUN_ID
    assert session.scalars(select(Run.id)).all() in ([run.id, summary.run_id], [summary.run_id, run.id])
    assert f"Another project has the results {RESULT_IDS[2]}: " in summary.warnings[0]
    assert (count(session, Result), summary.results) == (4, 3)


def test_results_move_within_a_project(session: Session, ours: Project) -> None:
    run = make_run(session, project_id=ours.id)
    make_result(session, run, id=RESULT_IDS[0], result="failed")
    session.commit()
    _, summary = upload(session, ARCHIVE, ours)
    assert (summary.run_id, summary.warnings) == (RUN_ID, ())
    assert session.scalars(select(Result.run_id)).all() == [RUN_ID] * 3


def test_a_report_does_not_replace_results_that_another_run_has(session: Session) -> None:
    _, first = upload(session, JUNIT)
    result_id = session.scalars(select(Result.id).where(Result.test_id == "TestCart.test_remove")).one()
    elsewhere = make_run(session)
    session.get_one(Result, result_id).run_id = elsewhere.id
    session.commit()
    before = rows_of(session, elsewhere.id)
    _, second = upload(session, JUNIT)
    assert second.run_id not in (RUN_ID, first.import_id)
    assert rows_of(session, elsewhere.id) == before
    assert f"Another run has the results {result_id}: " in second.warnings[0]


def test_a_file_of_another_run_outlives_the_result_it_also_hangs_on(session: Session) -> None:
    upload(session, JUNIT)
    other = make_run(session)
    result = session.scalars(select(Result).where(Result.test_id == "TestCart.test_add")).one()
    kept = make_artifact(session, result, other, content=b"of the other run, too")
    session.commit()
    upload(session, JUNIT)
    session.refresh(kept)
    assert (kept.run_id, kept.result_id) == (other.id, None)
    assert (count(session, Result), count(session, Artifact)) == (3, 3)


@pytest.mark.parametrize("content", [JUNIT, ARCHIVE])
def test_who_foresees_the_ids_of_an_import_gets_a_sentence_not_a_row(
    session: Session, ours: Project, theirs: Project, content: bytes
) -> None:
    row = make_import(session, content, filename=NAMED, data={"project_id": str(theirs.id)})
    foreseen = [make_run(session, id=row_id, project_id=ours.id) for row_id in (RUN_ID, own_id(row.id))]
    session.commit()
    with pytest.raises(InvalidImportError, match=f"{foreseen[1].id}; upload {NAMED} again"):
        run_import(session, row.id, "junit", ImportLimits())


def own_id(import_id: UUID) -> UUID:
    return derived_id(import_id, "own ids")


@pytest.mark.parametrize("content", [JUNIT, ARCHIVE])
def test_two_projects_that_upload_one_run_at_once_both_have_it(
    session: Session, engine: Engine, ours: Project, theirs: Project, content: bytes
) -> None:
    rows = [
        make_import(session, content, filename=NAMED, data={"project_id": str(project.id)}).id
        for project in (ours, theirs)
    ]
    session.commit()
    summaries = at_once(engine, rows)
    run_ids = {one.run_id for one in summaries}
    assert (len(run_ids), RUN_ID in run_ids) == (2, True)
    assert {one.results for one in summaries} == {3}
    assert set(session.scalars(select(Run.project_id))) == {ours.id, theirs.id}
    assert (count(session, Run), count(session, Result)) == (2, 6)
    mixed = select(Result).join(Run).where(Run.project_id != Result.project_id)
    assert session.scalars(mixed).all() == []


def test_two_runs_that_state_the_same_results_at_once_both_have_them(
    session: Session, engine: Engine, ours: Project, theirs: Project
) -> None:
    other_id = uuid4()
    moved = archive_of(other_id)
    rows = [
        make_import(session, content, filename="a.tar.gz", data={"project_id": str(project.id)}).id
        for content, project in ((ARCHIVE, ours), (moved, theirs))
    ]
    session.commit()
    summaries = at_once(engine, rows)
    assert [one.results for one in summaries] == [3, 3]
    assert sum(len(one.warnings) for one in summaries) == 1
    per_run = select(Result.run_id, func.count()).group_by(Result.run_id)
    assert [number for _, number in session.execute(per_run)] == [3, 3]


def at_once(engine: Engine, import_ids: list[UUID]) -> list[ImportSummary]:
    barrier = Barrier(len(import_ids))

    def deliver(import_id: UUID) -> ImportSummary:
        with Session(engine) as own, own.begin():
            barrier.wait(10)
            return run_import(own, import_id, "junit", ImportLimits())

    with ThreadPoolExecutor(len(import_ids)) as pool:
        return list(pool.map(deliver, import_ids))


def archive_of(run_id: UUID) -> bytes:
    return packed(
        {f"{run_id}/run.json": (json.dumps({"id": str(run_id), "start_time": "2026-11-21T08:00:00"}), None)}
        | {
            f"{run_id}/{RESULT_IDS[number]}/result.json": (json.dumps(result_json(number)), None)
            for number in range(3)
        }
    )


def packed(members: dict[str, tuple[str | bytes, str | None]]) -> bytes:
    """Make an archive of members, each with the comment of its PAX header."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz", format=tarfile.PAX_FORMAT) as tar:
        for path, (content, comment) in members.items():
            data = content.encode() if isinstance(content, str) else content
            info = tarfile.TarInfo(path)
            info.size = len(data)
            if comment is not None:
                info.pax_headers = {"comment": comment}
            tar.addfile(info, io.BytesIO(data))
    return file.getvalue()


def columns(row: Any, left_out: tuple[str, ...] = ()) -> dict[str, Any]:
    return {name: getattr(row, name) for name in row.__table__.columns.keys() if name not in left_out}  # noqa: SIM118


def pruned(run: Run, result: Result, files: list[Artifact], *, is_whole: bool = True) -> bytes:
    """Make what `prune --archive` writes of a run: files of the result, and of the run those of no result."""
    members: dict[str, Any] = {}
    members[f"{run.id}/run.json"] = run_member(ArchivedRun(columns(run), is_whole=is_whole, results=1))
    members[f"{run.id}/{result.id}/result.json"] = result_member(columns(result, ("run_id",)))
    for file in files:
        folder = f"{run.id}/{result.id}" if file.result_id == result.id else str(run.id)
        comment = artifact_comment(columns(file, ("content",)))
        members[f"{folder}/{file.id}.log"] = (file.content or b"", comment)
    return packed(members)


@pytest.fixture
def crafted() -> tuple[Run, Result]:
    """A run and a result as an archive has them; the tables have neither."""
    run = Run(id=uuid4(), start_time=utc_now(), created=utc_now(), data={}, summary=complete({"tests": 1}, 0))
    result = Result(
        id=uuid4(), run_id=run.id, start_time=utc_now(), result="passed", data={"run": str(run.id)}
    )
    result.params = {}
    return run, result


@pytest.mark.parametrize("of_result", [True, False])
def test_a_comment_hangs_no_file_on_somebody_else_s_row(
    session: Session, ours: Project, crafted: tuple[Run, Result], of_result: bool
) -> None:
    victim = make_run(session, project_id=ours.id)
    theirs = make_result(session, victim)
    session.commit()
    before = rows_of(session, victim.id)
    run, result = crafted
    file = Artifact(id=uuid4(), filename="evil.html", content=b"evil", data={}, upload_date=utc_now())
    if of_result:
        file.result_id, file.run_id = result.id, victim.id
    else:
        file.result_id, file.run_id = theirs.id, run.id

    _, summary = upload(session, pruned(run, result, [file]), filename="a.tar.gz")

    assert rows_of(session, victim.id) == before
    owner = (result.id, None) if of_result else (None, run.id)
    assert session.execute(select(Artifact.result_id, Artifact.run_id)).one() == owner
    assert any(f"the first of them {file.id}" in warning for warning in summary.warnings)


@pytest.mark.parametrize("owners", ["run", "result", "both", "none"])
def test_a_comment_takes_no_file_of_somebody_else_by_its_id(
    session: Session, crafted: tuple[Run, Result], owners: str
) -> None:
    run, result = crafted
    victim = make_run(session)
    theirs = make_result(session, victim)
    make_run(session, id=run.id)
    file = make_artifact(
        session,
        theirs if owners in {"result", "both"} else None,
        {"run": victim, "both": session.get_one(Run, run.id)}.get(owners),
        content=b"theirs",
    )
    session.commit()
    stated = Artifact(
        id=file.id, filename="x", content=b"evil", data={}, result_id=result.id, upload_date=utc_now()
    )
    _, summary = upload(session, pruned(run, result, [stated]), filename="a.tar.gz")
    session.refresh(file)
    assert (file.content, summary.artifacts) == (b"theirs", 0)
    assert any(str(file.id) in warning for warning in summary.warnings)


@pytest.mark.parametrize("is_chosen", [True, False])
@pytest.mark.parametrize("is_whole", [True, False])
def test_an_archived_run_does_not_take_the_run_of_another_project(
    session: Session,
    ours: Project,
    theirs: Project,
    crafted: tuple[Run, Result],
    is_chosen: bool,
    is_whole: bool,
) -> None:
    run, result = crafted
    there = make_run(session, id=run.id, project_id=ours.id)
    make_artifact(session, make_result(session, there, id=result.id))
    session.commit()
    before = rows_of(session, run.id)
    run.project_id = result.project_id = ours.id if is_chosen else theirs.id
    run.summary = complete({"tests": 7, "failures": 1}, 0)
    files = [
        Artifact(
            id=uuid4(), content=b"1", data={"resultId": str(result.id)}, result_id=result.id, run_id=run.id
        ),
        Artifact(id=uuid4(), content=b"2", data={"runId": str(run.id), "n": 1}, run_id=run.id),
    ]
    for file in files:
        file.upload_date, file.filename = utc_now(), "same.log"
    content = pruned(run, result, files, is_whole=is_whole)

    _, summary = upload(session, content, theirs if is_chosen else None, filename="a.tar.gz")

    assert rows_of(session, run.id) == before
    own = session.get_one(Run, summary.run_id)
    assert own.project_id == theirs.id
    # Of a part, the counts of the whole run are not true.
    assert summary.runs_to_update == (() if is_whole else (own.id,))
    copied = session.scalars(select(Result).where(Result.run_id == own.id)).one()
    assert (copied.project_id, copied.data) == (theirs.id, {"run": str(own.id)})
    found = session.scalars(select(Artifact).where(Artifact.run_id == own.id)).all()
    assert {file.content: (file.result_id, file.data) for file in found} == {
        b"1": (copied.id, {"resultId": str(copied.id)}),
        b"2": (None, {"runId": str(own.id), "n": 1}),
    }


SHARDS = [
    b'<testsuite name="s"><testcase classname="m" name="a">%b</testcase><testcase name="b"/></testsuite>'
    % inner
    for inner in (b"<failure>no</failure>", b"")
]


def test_a_failed_result_is_not_replaced_by_a_passed_one_unsaid(session: Session) -> None:
    upload(session, SHARDS[0])
    _, again = upload(session, SHARDS[0], filename=f"b-{RUN_ID}.xml")
    assert again.warnings == ()
    _, other = upload(session, SHARDS[1], filename=f"c-{RUN_ID}.xml")
    assert other.warnings == (
        "Results that an earlier upload brought were replaced: m.a (failed before, passed in this file).",
    )
    row = session.scalars(select(Import).where(Import.id == other.import_id)).one()
    assert (row.data or {})["warnings"] == list(other.warnings)
    assert set(session.scalars(select(Result.result))) == {"passed"}


def test_an_archive_says_which_results_stayed_as_they_were(session: Session) -> None:
    upload(session, ARCHIVE)
    _, again = upload(session, archive(None, [result_json(0), result_json(1)]))
    assert "were kept as they were: test_0 (failed before, passed in this file)." in again.warnings[-1]
    assert session.get_one(Result, RESULT_IDS[0]).result == "failed"


def test_of_many_results_that_differ_some_are_named_and_all_counted(session: Session) -> None:
    cases = b"".join(b'<testcase name="t%d">%%b</testcase>' % number for number in range(25))
    for outcome in (b"<error/>", b""):
        content = b"<testsuite>" + cases.replace(b"%b", outcome) + b"</testsuite>"
        _, summary = upload(session, content)
    (warning,) = summary.warnings
    assert warning.endswith("t19 (error before, passed in this file) and 5 more.")


def test_a_value_made_too_long_in_an_archive_costs_the_value_alone(
    session: Session, crafted: tuple[Run, Result]
) -> None:
    noise = "".join(chr(0x4E00 + number * 7919 % 20000) for number in range(4000))
    run, result = crafted
    run.env = result.component = "short-env"
    archived = {}
    with tarfile.open(fileobj=io.BytesIO(pruned(run, result, []))) as tar:
        for member in tar:
            content = tar.extractfile(member).read().decode().replace("short-env", noise)  # type: ignore[union-attr]
            archived[member.name] = (content, member.pax_headers.get("comment"))
    row, summary = upload(session, packed(archived), filename="a.tar.gz")
    assert (row.status, summary.results) == ("done", 1)
    assert session.get_one(Run, run.id).data["env_whole"] == noise  # type: ignore[index]
    assert session.get_one(Result, result.id).data["component_whole"] == noise
    assert sum("it was cut, and is whole in" in one for one in summary.warnings) == 2
