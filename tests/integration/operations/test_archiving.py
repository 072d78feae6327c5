"""What a prune archives comes back from the archive, column by column."""

from __future__ import annotations

import json
import math
import os
import tarfile
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlalchemy import JSON, func, select, text
from sqlalchemy.orm import Session

from ibutsu_tasks.database.copying import copy_rows, table_of
from ibutsu_tasks.database.models import Artifact, Project, Result, Run
from ibutsu_tasks.errors import RefusedError
from ibutsu_tasks.importers.parsed import AnyNumber, ImportLimits, JsonText
from ibutsu_tasks.operations import archive_keeper, archived_parts, pruning
from ibutsu_tasks.operations.archive_keeper import ArchiveKeeper, Archives
from ibutsu_tasks.operations.importing import run_import
from ibutsu_tasks.operations.run_summary import complete
from ibutsu_tasks.retention import RULES_BY_NAME, RetentionRule
from tests.factories import make_artifact, make_import, make_project, make_result, make_run, utc_now

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sqlalchemy import Engine

FILES, RESULTS, RUNS = (RULES_BY_NAME[name] for name in ("files", "results", "runs"))
OLD = utc_now() - timedelta(days=500)
LIMITS = ImportLimits()


def opener(engine: Engine) -> Callable[[], Any]:
    @contextmanager
    def open_session() -> Iterator[Session]:
        with Session(engine) as session, session.begin():
            yield session

    return open_session


def keeper_of(engine: Engine, rule: RetentionRule, directory: Path, archives: Archives) -> ArchiveKeeper:
    return ArchiveKeeper(opener(engine), rule.table, directory, LIMITS, archives)


def prune(engine: Engine, rule: RetentionRule, directory: Path) -> tuple[pruning.PruneSummary, Archives]:
    archives = Archives()
    keeper = keeper_of(engine, rule, directory, archives)
    return pruning.prune(opener(engine), rule, rule.default_age_days, keeper=keeper), archives


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
        assert summary.warnings == ()
        to_update += summary.runs_to_update
        session.commit()
    return to_update


def store(session: Session, *rows: Run | Result | Artifact) -> None:
    session.add_all(rows)
    session.commit()


def wild_run(session: Session) -> Run:
    """A run with every kind of row, name and value that is hard to carry."""
    project = make_project(session)
    other = make_run(session)
    data = {"tags": ["a", {"b": None}], "num": [1, 1.5, 1e-7, 10**30], "user_properties": {"x": 1}, "é\n": "\u2028"}
    run = make_run(
        session, start_time=OLD, created=OLD + timedelta(microseconds=1), project_id=project.id, data=data,
        summary={"tests": 9, "collected": 12, "own": "kept"}, env="", component=None, source="local", duration=0.1 + 0.2,
    )  # fmt: skip
    first = make_result(session, run, start_time=OLD, data={"run": "odd"}, params={"p": [0.1]}, env="e" * 1200)
    make_result(session, run, test_id=None, result=None, source=None, duration=None, params=JSON.NULL, project_id=None)
    make_result(session, run, test_id="", result="", data=[1, "two"], params="text", duration=math.nan)
    names = ["../x", "", "a/b.txt", "a.log", "a.log", "n" * 300, "ž ünï.log", ".hidden", "result.json", "run.json", None]
    for number, name in enumerate([*names, str(first.id), "x\n\u202e", "COM1", "._mac"]):
        make_artifact(session, first, filename=name, content=b"%d" % number, data={"n": number, "f": 1.5})
    make_artifact(session, first, other, content=None, data=JSON.NULL)
    make_artifact(session, first, run, content=b"", data=["no", "object"])
    make_artifact(session, run=run, filename="session.txt", content=os.urandom(200_000))
    make_artifact(session, run=run, filename=str(uuid4()), upload_date=OLD)
    elsewhere = make_result(session, other)
    make_artifact(session, elsewhere, run, content=b"of two runs")
    session.execute(
        text("update results set data = cast(:data as jsonb) where test_id = 'test_it'"),
        {"data": '{"deep": ' + "[" * 300 + "]" * 300 + ', "digits": 0.1234567890123456789012345, "big": 1e999}'},
    )
    session.commit()
    return run


def test_a_wild_run_comes_back_column_by_column(
    engine: Engine, session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archived_parts, "SLICE_BYTES", 70_000)
    run = wild_run(session)
    before = snapshot(session)

    summary, archives = prune(engine, RUNS, tmp_path)

    assert archives.reasons == []
    assert dict(summary.deleted) == {"runs": 1, "results": 3, "artifacts": 20}
    assert [path.name for path in tmp_path.iterdir()] == [f"{run.id}.tar.gz"]
    assert (archives.files, archives.size_bytes) == (1, next(tmp_path.iterdir()).stat().st_size)
    for _ in range(2):
        assert bring_back(session, tmp_path) == []
        assert snapshot(session) == before
