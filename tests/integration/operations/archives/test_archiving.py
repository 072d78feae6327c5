"""What a prune archives comes back from the archive, column by column."""

from __future__ import annotations

import gzip
import json
import math
import os
import tarfile
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlalchemy import JSON, func, select, text
from sqlalchemy.orm import Session

from ibutsu_tasks.errors import RefusedError
from ibutsu_tasks.ibutsu.database.copying import copy_rows, table_of
from ibutsu_tasks.ibutsu.database.models import Artifact, Import, Result, Run
from ibutsu_tasks.ibutsu.importers.parsed import AnyNumber, ImportLimits, JsonText
from ibutsu_tasks.ibutsu.operations.archives import archiver as archives_archiver
from ibutsu_tasks.ibutsu.operations.archives import check, reader
from ibutsu_tasks.ibutsu.operations.archives.archiver import Archiver, Archives
from ibutsu_tasks.ibutsu.operations.imports.run_import import run_import
from ibutsu_tasks.ibutsu.operations.run_summary import complete
from ibutsu_tasks.ibutsu.retention import RULES_BY_NAME
from ibutsu_tasks.retention import run_prune
from ibutsu_tasks.retention.batches import BatchTuner
from ibutsu_tasks.retention.monitor import PruneMonitor
from tests.factories import make_artifact, make_import, make_project, make_result, make_run, opener, utc_now

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sqlalchemy import Engine

    from ibutsu_tasks.packages import RetentionRule
    from ibutsu_tasks.retention.monitor import PruneProgress

FILES, RESULTS, RUNS = (RULES_BY_NAME[name] for name in ("files", "results", "runs"))
OLD = utc_now() - timedelta(days=500)
LIMITS = ImportLimits()


def archiver_of(engine: Engine, rule: RetentionRule, directory: Path) -> Archiver:
    return Archiver(opener(engine), rule.table, Archives(directory), LIMITS, PruneMonitor())


def prune(engine: Engine, rule: RetentionRule, directory: Path) -> tuple[run_prune.PruneSummary, Archives]:
    archiver = archiver_of(engine, rule, directory)
    summary = run_prune.prune(
        opener(engine), rule, rule.default_age_days, archiver=archiver, tuner=BatchTuner(pause_seconds=0)
    )
    return summary, archiver.archives


def snapshot(session: Session) -> dict[str, list[tuple[str, ...]]]:
    """Every column of every row, as PostgreSQL writes it."""
    session.rollback()
    tables = {}
    for model in (Run, Result, Artifact):
        rows = session.execute(text(f"select t::text from {model.__tablename__} t order by id"))  # noqa: S608
        tables[model.__tablename__] = [tuple(row) for row in rows]
    return tables


def bring_back(session: Session, directory: Path) -> list[UUID]:
    """Import every archive; give the runs that `update_run` would be sent for."""
    to_update = []
    for path in sorted(directory.glob("*.tar.gz")):
        row = make_import(session, path.read_bytes(), filename=path.name)
        summary = run_import(session, row.id, "archive", LIMITS)
        to_update += summary.runs_to_update
        session.commit()
    return to_update


NAMES = (
    *("../x", "", "a/b.txt", "a.log", "a.log", "n" * 300, "ž ünï.log", ".hidden", "result.json", "run.json"),
    *(None, str(UUID(int=5)), "x\n\u202e", "COM1", "._mac", "dot."),
)
DATA = {"tags": ["a", {"b": None}], "n": [1, 1.5, 1e-7, 10**30], "user_properties": {"x": 1}, "é\n": "\u2028"}
NO_PYTHON_VALUE = f'{{"deep": {"[" * 300}{"]" * 300}, "digits": 0.12345678901234567890123, "big": 1e999}}'


def wild_run(session: Session) -> Run:
    """A run with every kind of row, name and value that is hard to carry."""
    columns = {
        "project_id": make_project(session).id,
        "created": OLD + timedelta(microseconds=1),
        "data": DATA,
        "summary": {"tests": 9, "collected": 12, "own": "kept"},
        "duration": 0.1 + 0.2,
    }
    run = make_run(session, start_time=OLD, env="", source="local", **columns)
    first = make_result(session, run, data={"run": "odd"}, params={"p": [0.1]}, env="e" * 1200)
    make_result(session, run, test_id=None, result=None, duration=None, params=JSON.NULL, project_id=None)
    make_result(session, run, test_id="", result="", data=[1, "two"], params="text", duration=math.nan)
    deep = make_result(session, run, data={}, duration=math.inf)
    for number, name in enumerate(NAMES):
        make_artifact(session, first, filename=name, content=b"%d" % number, data={"n": number, "f": 1.5})
    make_artifact(session, first, content=None, data=JSON.NULL)
    make_artifact(session, first, run, content=b"", data=["no", "object"])
    make_artifact(session, run=run, filename="session.txt", content=os.urandom(200_000))
    make_artifact(session, run=run, filename=str(uuid4()), upload_date=OLD)
    own_words = text("update results set data = cast(:data as jsonb) where id = :id")
    session.execute(own_words, {"data": NO_PYTHON_VALUE, "id": deep.id})
    session.commit()
    return run


def test_a_wild_run_comes_back_column_by_column(
    engine: Engine, session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "SLICE_BYTES", 70_000)
    run = wild_run(session)
    before = snapshot(session)

    summary, archives = prune(engine, RUNS, tmp_path)

    assert archives.reasons == []
    assert dict(summary.deleted) == {"runs": 1, "results": 4, "artifacts": len(NAMES) + 4}
    assert [path.name for path in tmp_path.iterdir()] == [f"{run.id}.tar.gz"]
    assert (archives.files, archives.size_bytes) == (1, next(tmp_path.iterdir()).stat().st_size)
    for _ in range(2):
        assert bring_back(session, tmp_path) == []
        assert snapshot(session) == before


TEXTS = st.none() | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8)
# Without -0, which equals 0, and which a literal of PostgreSQL does not say.
NUMBERS = st.none() | st.floats().map(lambda number: AnyNumber(number + 0.0))
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS
KEYS = st.sampled_from(["env", "project", "user_properties", "é\n"])
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=5,
)
JSON_COLUMNS = st.none() | VALUES.map(lambda value: JsonText(json.dumps(value)))
TIMES = st.datetimes(datetime(1970, 1, 1), OLD)  # noqa: DTZ001 - the database's times are naive UTC
TEXT_COLUMNS = dict.fromkeys(("source", "env", "component"), TEXTS)
PROJECT_ID = UUID(int=1)
PROJECTS = st.sampled_from([None, PROJECT_ID])
RUN_IDS, RESULT_IDS = ([UUID(int=start + number) for number in range(3)] for start in (10, 20))


def owned_by(ids: list[UUID]) -> st.SearchStrategy[UUID | None]:
    return st.none() | st.sampled_from(ids)


RUN_ROWS = st.fixed_dictionaries(
    {
        "project_id": PROJECTS,
        "data": JSON_COLUMNS,
        "summary": JSON_COLUMNS,
        "duration": NUMBERS,
        "start_time": TIMES,
        "created": TIMES,
        **TEXT_COLUMNS,
    }
)
RESULT_ROWS = st.fixed_dictionaries(
    {
        "project_id": PROJECTS,
        "run_id": owned_by(RUN_IDS),
        "test_id": TEXTS,
        "result": TEXTS,
        "data": JSON_COLUMNS,
        "params": JSON_COLUMNS,
        "duration": NUMBERS,
        "start_time": TIMES,
        **TEXT_COLUMNS,
    }
)
FILENAMES = TEXTS | st.sampled_from(["a.log", "result.json", "../a", str(RUN_IDS[0])])
ARTIFACT_ROWS = st.fixed_dictionaries(
    {
        "content": st.none() | st.binary(max_size=9),
        "filename": FILENAMES,
        "data": JSON_COLUMNS,
        "result_id": owned_by(RESULT_IDS),
        "run_id": owned_by(RUN_IDS),
        "upload_date": TIMES,
    }
)
Rows = list[dict[str, Any]]


def three(rows: st.SearchStrategy[dict[str, Any]], ids: list[UUID]) -> st.SearchStrategy[Rows]:
    return st.tuples(rows, rows, rows).map(
        lambda drawn: [{"id": row_id, **row} for row_id, row in zip(ids, drawn, strict=True)]
    )


def join_runs(results: Rows, artifacts: Rows) -> bool:
    """Whether an artifact hangs on a run and on a result that is not of it: it comes back to one of them."""
    runs = {result["id"]: result["run_id"] for result in results}
    return any(
        None not in (artifact["run_id"], artifact["result_id"])
        and runs[artifact["result_id"]] != artifact["run_id"]
        for artifact in artifacts
    )


def without_owners(tables: dict[str, list[tuple[str, ...]]]) -> list[Any]:
    return [tables["runs"], tables["results"], len(tables["artifacts"])]


@given(
    rule=st.sampled_from([RUNS, RESULTS, FILES]),
    runs=three(RUN_ROWS, RUN_IDS),
    results=three(RESULT_ROWS, RESULT_IDS),
    artifacts=three(ARTIFACT_ROWS, [UUID(int=30 + number) for number in range(3)]),
)
@hypothesis_settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_prune_then_import_of_the_archives_is_the_identity(
    engine: Engine,
    rule: RetentionRule,
    runs: Rows,
    results: Rows,
    artifacts: Rows,
) -> None:
    with Session(engine) as session, TemporaryDirectory() as directory:
        for table in ("artifacts", "results", "runs", "projects", "imports"):
            session.execute(text(f"delete from {table}"))  # noqa: S608 - quicker than truncate
        make_project(session, id=PROJECT_ID)
        for model, rows in ((Run, runs), (Result, results), (Artifact, artifacts)):
            copy_rows(session, model, rows)
        session.commit()
        before = snapshot(session)

        summary, archives = prune(engine, rule, Path(directory))

        after = snapshot(session)
        assert archives.refused == summary.unarchived == len(after[rule.table])
        assert summary.left == 0
        assert sum(map(len, after.values())) == 9 - sum(summary.deleted.values())
        for _ in range(2):
            assert bring_back(session, Path(directory)) == []
            after = snapshot(session)
            assert without_owners(after) == without_owners(before)
            assert after == before or join_runs(results, artifacts)


@pytest.mark.parametrize("first", [0, 1])
def test_a_file_of_two_runs_comes_back_to_the_one_of_its_archive(
    engine: Engine, session: Session, tmp_path: Path, first: int
) -> None:
    runs = [make_run(session, id=row_id, start_time=OLD) for row_id in RUN_IDS[:2]]
    result = make_result(session, runs[first], start_time=OLD)
    artifact = make_artifact(session, result, runs[1 - first], content=b"of two runs")
    result_id, artifact_id = result.id, artifact.id
    session.commit()
    session.expunge_all()
    assert len(list(prune(engine, RUNS, tmp_path)[0].deleted)) == 3
    for _ in range(2):
        bring_back(session, tmp_path)
        owner = (None, result_id) if first == 0 else (RUN_IDS[0], None)
        assert session.execute(select(Artifact.run_id, Artifact.result_id)).one() == owner
    assert any(
        f"the first of them {artifact_id}." in warning
        for data in session.scalars(select(Import.data))
        for warning in (data or {}).get("warnings", ())
    )


class Killed(BaseException):
    """What a process that is killed raises nowhere else."""


def test_killed_between_archive_and_delete_nothing_is_lost_and_the_archive_serves_again(
    engine: Engine, session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(session, start_time=OLD)
    make_artifact(session, make_result(session, run))
    session.commit()
    before = snapshot(session)
    with monkeypatch.context() as patched:
        patched.setattr(Archiver, "find_unchanged", _be_killed)
        with pytest.raises(Killed):
            prune(engine, RUNS, tmp_path)
    assert snapshot(session) == before
    (archive,) = tmp_path.iterdir()
    (tmp_path / f"{archive.name}.part").write_bytes(b"of another that was killed")
    written_at = archive.stat().st_mtime_ns

    summary, archives = prune(engine, RUNS, tmp_path)

    assert (summary.left, archives.files) == (0, 0)
    assert [(path.name, path.stat().st_mtime_ns) for path in tmp_path.iterdir()] == [
        (archive.name, written_at)
    ]
    bring_back(session, tmp_path)
    assert snapshot(session) == before


def _be_killed(*_: object) -> Collection[UUID]:
    raise Killed


@pytest.mark.parametrize("rule", [RUNS, RESULTS, FILES])
@pytest.mark.parametrize("change", ["run", "result", "artifact", "new"])
def test_what_changes_between_archive_and_delete_stays(
    engine: Engine, session: Session, tmp_path: Path, rule: RetentionRule, change: str
) -> None:
    run = make_run(session, start_time=OLD)
    result = make_result(session, run)
    artifact = make_artifact(session, result, upload_date=OLD)
    session.commit()
    archiver = archiver_of(engine, rule, tmp_path)
    root_id = {"runs": run.id, "results": result.id, "artifacts": artifact.id}[rule.table]
    assert archiver.archive([str(root_id)]) == {root_id}
    assert list(archiver.find_unchanged(session, [root_id])) == [root_id]
    session.rollback()

    if change == "new":
        make_artifact(session, result)
    else:
        row: Any = {"run": run, "result": result, "artifact": artifact}[change]
        row.data = {"changed": True}
    session.commit()

    hangs_on = {"runs": {"run", "result", "artifact", "new"}, "results": {"result", "artifact", "new"}}
    is_touched = change in hangs_on.get(rule.table, {"artifact"})
    assert bool(archiver.find_unchanged(session, [root_id])) is not is_touched
    session.delete(artifact)
    session.commit()
    if change in {"run", "artifact"}:
        expected = [] if rule is FILES or (rule, change) == (RUNS, "run") else [root_id]
        assert list(archiver.find_unchanged(session, [root_id])) == expected


def test_a_run_that_changed_is_archived_again_under_another_name(
    engine: Engine, session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(session, start_time=OLD)
    session.commit()
    archive = Archiver.archive

    def archive_and_change(archiver: Archiver, root_ids: Sequence[str]) -> set[UUID]:
        archived = archive(archiver, root_ids)
        if run.data == {}:
            run.data = {"changed": True}
            session.commit()
        return archived

    monkeypatch.setattr(Archiver, "archive", archive_and_change)
    summary, archives = prune(engine, RUNS, tmp_path)
    assert (summary.left, archives.files) == (0, 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{run.id}.tar.gz", f"{run.id}_2.tar.gz"]
    bring_back(session, tmp_path)
    assert session.scalars(select(Run.data)).all() == [{"changed": True}]


def test_a_file_that_is_there_is_never_written_over(engine: Engine, session: Session, tmp_path: Path) -> None:
    run = make_run(session, start_time=OLD)
    session.commit()
    before = snapshot(session)
    cut_off = tmp_path / f"{run.id}.tar.gz"
    cut_off.write_bytes(b"\x1f\x8bcut off")
    assert prune(engine, RUNS, tmp_path)[0].left == 0
    assert cut_off.read_bytes() == b"\x1f\x8bcut off"
    cut_off.unlink()
    bring_back(session, tmp_path)
    assert snapshot(session) == before


def test_an_archive_that_appears_meanwhile_is_never_written_over(
    engine: Engine, session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(session, start_time=OLD)
    session.commit()
    before = snapshot(session)
    check_archive = archives_archiver.check_archive

    def check_and_be_overtaken(*given: Any) -> None:
        check_archive(*given)
        (tmp_path / f"{run.id}.tar.gz").write_bytes(b"of another")

    monkeypatch.setattr(archives_archiver, "check_archive", check_and_be_overtaken)
    assert prune(engine, RUNS, tmp_path)[0].left == 0
    assert (tmp_path / f"{run.id}.tar.gz").read_bytes() == b"of another"
    (tmp_path / f"{run.id}.tar.gz").unlink()
    bring_back(session, tmp_path)
    assert snapshot(session) == before


@pytest.mark.parametrize("name", [".tar.gz.part", ".tar.gz"])
@pytest.mark.parametrize("leads_to", ["victim", "nowhere", "{run}.tar.gz.part"])
def test_no_archive_is_written_through_a_planted_link(
    engine: Engine, session: Session, tmp_path: Path, name: str, leads_to: str
) -> None:
    run = make_run(session, start_time=OLD)
    session.commit()
    before = snapshot(session)
    victim, archives = tmp_path / "victim", tmp_path / "archives"
    victim.write_bytes(b"precious")
    archives.mkdir()
    target = leads_to.format(run=run.id)
    planted = archives / f"{run.id}{name}"
    planted.symlink_to(archives / target if "part" in target else tmp_path / target)

    assert prune(engine, RUNS, archives)[0].left == 0

    assert victim.read_bytes() == b"precious"
    assert not (tmp_path / "nowhere").exists()
    written = [path for path in archives.iterdir() if not path.is_symlink()]
    assert [path.stat().st_mode & 0o777 for path in written] == [0o600]
    for path in archives.iterdir():
        if path.is_symlink():
            path.unlink()
    bring_back(session, archives)
    assert snapshot(session) == before


def test_between_two_archives_it_can_be_stopped(engine: Engine, session: Session, tmp_path: Path) -> None:
    ids = [make_run(session, start_time=OLD).id for _ in range(3)]
    session.commit()

    class Monitor(PruneMonitor):
        def should_stop(self) -> bool:
            return any(tmp_path.glob("*.tar.gz"))

    archiver = Archiver(opener(engine), "runs", Archives(tmp_path), LIMITS, Monitor())
    assert archiver.archive(list(map(str, ids))) == {ids[0]}


@pytest.mark.parametrize("stops_while", ["writing", "checking"])
def test_amid_a_large_archive_it_tells_and_can_be_stopped(
    engine: Engine, session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stops_while: str
) -> None:
    monkeypatch.setattr(check, "ROWS_BETWEEN_REPORTS", 10)
    run = make_run(session, start_time=OLD)
    for _ in range(20):
        make_artifact(session, make_result(session, run))
    session.commit()
    told: list[tuple[str, int]] = []

    class Monitor(PruneMonitor):
        def report_archive(self, step: str, rows: int) -> None:
            told.append((step, rows))

        def should_stop(self) -> bool:
            return told[-1] == (stops_while, 30)

    archiver = Archiver(opener(engine), "runs", Archives(tmp_path), LIMITS, Monitor())
    assert archiver.archive([str(run.id)]) == set()
    steps = [(doing, rows) for doing in ("writing", "checking") for rows in (0, 10, 20, 30, 40)]
    assert told == steps[: steps.index((stops_while, 30)) + 1]
    assert list(tmp_path.iterdir()) == []


def test_all_that_hangs_on_a_run_is_looked_at_once_however_many_batches_it_takes(
    engine: Engine, session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(session, start_time=OLD)
    for _ in range(50):
        make_artifact(session, make_result(session, run))
    session.commit()
    looks, find_unchanged = [], Archiver.find_unchanged

    def look(archiver: Archiver, session: Session, root_ids: Collection[UUID]) -> set[UUID]:
        looks.append(list(root_ids))
        return find_unchanged(archiver, session, root_ids)

    monkeypatch.setattr(Archiver, "find_unchanged", look)
    archiver = archiver_of(engine, RUNS, tmp_path)
    summary = run_prune.prune(opener(engine), RUNS, 360, archiver=archiver, tuner=BatchTuner(10, 10, 10))
    assert sum(summary.deleted.values()) == 101
    assert looks == [[run.id]]


def test_what_is_hung_on_a_run_between_two_batches_stays_and_is_archived_apart(
    engine: Engine, session: Session, tmp_path: Path
) -> None:
    run = make_run(session, start_time=OLD)
    for _ in range(50):
        make_result(session, run)
    session.commit()
    before = snapshot(session)
    late: list[UUID] = []

    class AddOneMore(PruneMonitor):
        def report(self, progress: PruneProgress) -> None:
            if not late and progress.rows:
                late.append(make_result(session, run).id)
                session.commit()

    archiver = archiver_of(engine, RUNS, tmp_path)
    tuner = BatchTuner(10, 10, 10, pause_seconds=0)
    summary = run_prune.prune(opener(engine), RUNS, 360, monitor=AddOneMore(), archiver=archiver, tuner=tuner)
    assert (summary.left, summary.deleted["results"], archiver.archives.files) == (0, 51, 2)
    bring_back(session, tmp_path)
    after = snapshot(session)
    assert after["runs"] == before["runs"]
    assert len(after["results"]) == 51
    assert set(before["results"]) < set(after["results"])


def test_archives_are_their_owners_alone(engine: Engine, session: Session, tmp_path: Path) -> None:
    make_run(session, start_time=OLD)
    session.commit()
    archives_archiver.prepare(tmp_path / "new" / "archives")
    prune(engine, RUNS, tmp_path / "new" / "archives")
    (path,) = (tmp_path / "new" / "archives").iterdir()
    assert (path.parent.stat().st_mode & 0o777, path.stat().st_mode & 0o777) == (0o700, 0o600)


def test_a_directory_that_takes_nothing_is_a_sentence_and_nothing_goes(
    engine: Engine, session: Session, tmp_path: Path
) -> None:
    make_run(session, start_time=OLD)
    session.commit()
    before = snapshot(session)
    file = tmp_path / "file"
    file.touch()
    for directory in (file, file / "below", Path("/proc/nowhere")):
        with pytest.raises(RefusedError, match=f"cannot be written to {directory}: "):
            archives_archiver.prepare(directory)
        with pytest.raises(RefusedError, match="Nothing without an archive was deleted"):
            prune(engine, RUNS, directory)
    assert snapshot(session) == before


def test_a_full_disk_is_a_sentence_and_leaves_no_piece(
    engine: Engine, session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_artifact(session, run=make_run(session, start_time=OLD), content=os.urandom(100_000))
    session.commit()
    before = snapshot(session)
    monkeypatch.setattr(archives_archiver, "_open_private", lambda *_: os.open("/dev/full", os.O_WRONLY))
    with pytest.raises(RefusedError, match="No space left on device"):
        prune(engine, RUNS, tmp_path)
    assert snapshot(session) == before
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_no_import_would_take_stays_and_is_named(
    engine: Engine, session: Session, tmp_path: Path
) -> None:
    large, small = (make_run(session, start_time=OLD) for _ in range(2))
    for number in range(3):
        make_artifact(session, run=large, content=os.urandom(20_000), filename=f"{number}.log")
    session.commit()
    for limits, reason in (
        (ImportLimits(unpacked_bytes=50_000), "unpacks to more than 50,000 bytes"),
        (ImportLimits(members=2), "2 members"),
    ):
        archiver = Archiver(opener(engine), "runs", Archives(tmp_path), limits, PruneMonitor())
        for _ in range(2):
            assert archiver.archive([str(large.id), str(small.id)]) == {small.id}
        assert len(archiver.refused) == archiver.archives.refused == 1
        (sentence,) = archiver.archives.reasons
        assert str(large.id) in sentence
        assert reason in sentence
    assert [path.name for path in tmp_path.iterdir()] == [f"{small.id}.tar.gz"]


@pytest.mark.parametrize("moment", ["-infinity", "0044-03-15 BC"])
def test_a_time_that_python_has_no_word_for_saves_its_run(
    engine: Engine, session: Session, tmp_path: Path, moment: str
) -> None:
    run = make_run(session, start_time=OLD)
    session.execute(text("update runs set start_time = cast(:moment as timestamp)"), {"moment": moment})
    session.commit()
    archiver = archiver_of(engine, RUNS, tmp_path)
    assert archiver.archive([str(run.id)]) == set()
    assert f"run {run.id} has no archive: " in archiver.archives.reasons[0]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", ["cut off", "changed"])
def test_a_file_damaged_on_its_way_to_the_disk_saves_its_run(
    engine: Engine, session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    run = make_run(session, start_time=OLD)
    make_artifact(session, make_result(session, run), content=b"the very content")
    session.commit()

    def lose(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").resolve()
        content = path.read_bytes()
        changed = gzip.compress(gzip.decompress(content).replace(b"the very", b"quite an"))
        path.write_bytes(content[:-20] if damage == "cut off" else changed)

    monkeypatch.setattr(archives_archiver.os, "fsync", lose)
    archiver = archiver_of(engine, RUNS, tmp_path)
    assert archiver.archive([str(run.id)]) == set()
    assert f"run {run.id} has no archive: " in archiver.archives.reasons[0]
    assert list(tmp_path.iterdir()) == []


def test_the_counts_of_results_deleted_before_are_kept(
    engine: Engine, session: Session, tmp_path: Path
) -> None:
    summary = complete({"tests": 3, "failures": 1}, 5)
    run = make_run(session, start_time=OLD, summary=summary, duration=7.0)
    make_result(session, run)
    session.commit()
    prune(engine, RUNS, tmp_path)
    row = make_import(session, next(tmp_path.iterdir()).read_bytes(), filename="a.tar.gz")
    for already_done in (False, True):
        again = run_import(session, row.id, "archive", LIMITS)
        assert (again.already_done, again.runs_to_update) == (already_done, ())
        session.commit()
    assert session.execute(select(Run.summary, Run.duration)).one() == (summary, 7.0)


def test_results_come_back_to_a_run_that_lived_on(engine: Engine, session: Session, tmp_path: Path) -> None:
    run = make_run(session, summary=complete({"tests": 2}, 2), data={"tag": "old"})
    make_result(session, run, start_time=OLD)
    make_result(session, run)
    session.commit()
    prune(engine, RESULTS, tmp_path)
    run.summary, run.data = complete({"tests": 1}, 2), {"tag": "new"}
    session.commit()
    assert bring_back(session, tmp_path) == [run.id]
    session.refresh(run)
    assert run.data == {"tag": "new"}
    assert session.scalar(select(func.count()).select_from(Result)) == 2


def test_a_run_that_got_results_since_is_counted_anew(
    engine: Engine, session: Session, tmp_path: Path
) -> None:
    run = make_run(session, start_time=OLD, data={"a": {"b": 1}}, env="stage")
    session.commit()
    prune(engine, RUNS, tmp_path)
    session.expunge_all()
    made_again = make_run(session, id=run.id, data={"a": {"c": 2}}, component="own")
    make_result(session, made_again)
    session.commit()
    assert bring_back(session, tmp_path) == [run.id]
    session.refresh(made_again)
    assert (made_again.data, made_again.env, made_again.component) == (
        {"a": {"b": 1, "c": 2}},
        "stage",
        "own",
    )


def test_what_the_uploader_says_goes_over_an_archived_row(
    engine: Engine, session: Session, tmp_path: Path
) -> None:
    gone = make_project(session, "gone")
    run = make_run(session, start_time=OLD, project_id=gone.id, data={"project": "gone"})
    make_result(session, run)
    session.commit()
    prune(engine, RUNS, tmp_path)
    session.execute(text("delete from projects"))
    chosen = make_project(session, "chosen")
    content = next(tmp_path.iterdir()).read_bytes()
    told = {"project_id": str(chosen.id), "metadata": {"env": "stage", "k": 1}, "source": "archive"}
    for data, project_id, changed in ((told, chosen.id, ("stage", "archive")), (None, None, (None, None))):
        session.execute(text("delete from results"))
        session.execute(text("delete from runs"))
        summary = run_import(session, make_import(session, content, data=data).id, "archive", LIMITS)
        assert len(summary.warnings) == (project_id is None)
        for model in (Run, Result):
            row = session.execute(select(model.project_id, model.env, model.source)).one()
            assert row == (project_id, *changed)
        assert session.scalars(select(Run.data)).one().get("k") == (told["metadata"]["k"] if data else None)
        session.commit()


def test_an_artifact_of_another_run_is_not_taken_by_its_id(
    engine: Engine, session: Session, tmp_path: Path
) -> None:
    result = make_result(session, make_run(session, start_time=OLD))
    archived = make_artifact(session, result, upload_date=OLD)
    artifact_id = archived.id
    session.commit()
    session.expunge_all()
    prune(engine, FILES, tmp_path)
    make_artifact(session, make_result(session, make_run(session)), id=artifact_id, content=b"another's")
    session.commit()
    before = snapshot(session)["artifacts"]

    bring_back(session, tmp_path)

    assert snapshot(session)["artifacts"] == before
    data = session.scalars(select(Import.data)).one()
    assert data["warnings"] == [
        f"Artifacts left out, because another run has one of the same id: 1, the first of them {artifact_id}."
    ]


def test_other_tools_read_the_archive(engine: Engine, session: Session, tmp_path: Path) -> None:
    """The layout of pytest-ibutsu, and nothing in the documents that no column of the server takes."""
    run = make_run(session, start_time=OLD, data={"a": 1})
    result = make_result(session, run)
    for name in ("a.log", "a.log", "../x", "result.json"):
        make_artifact(session, result, filename=name)
    session.commit()
    prune(engine, RUNS, tmp_path)
    with tarfile.open(next(tmp_path.iterdir())) as archive:
        names = archive.getnames()
        documents = [json.load(archive.extractfile(name) or pytest.fail(name)) for name in names[:2]]
        archive.extractall(tmp_path / "unpacked", filter="data")
    assert names[:2] == [f"{run.id}/run.json", f"{run.id}/{result.id}/result.json"]
    assert f"{run.id}/{result.id}/a.log" in names
    assert len(set(names)) == 6
    for document, model in zip(documents, (Run, Result), strict=True):
        assert document.keys() - {"metadata"} <= set(table_of(model).c.keys())
    assert documents[0]["metadata"] == {"a": 1}


def test_rows_of_no_run_are_named_once(engine: Engine, session: Session, tmp_path: Path) -> None:
    orphans = [make_artifact(session, upload_date=OLD).id for _ in range(2)]
    session.commit()
    archiver = archiver_of(engine, FILES, tmp_path)
    for orphan in orphans:
        assert archiver.archive([str(orphan)]) == set()
    assert (archiver.archives.refused, len(archiver.archives.reasons)) == (2, 1)
