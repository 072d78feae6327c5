"""Imports through a real worker, the COPY of the rows they write, and the way one commit per row takes."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from ibutsu_tasks.ibutsu.database.models import Artifact, Project, Result, Run
from ibutsu_tasks.ibutsu.operations.imports.uploads import store_upload
from tests.benchmarks.measuring import Figure, interleave, ratio, seconds, speedup
from tests.factories import make_project

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Engine

    from tests.benchmarks.system import BenchSystem, BenchWorker

TABLES = (Run, Result, Artifact)
ROUNDS = 7


class StoredRows:
    """The rows of a run as an import left them: prepared for COPY, and as values for an ORM."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._copied = {model: _copy_out(engine, model.__tablename__) for model in TABLES}
        with engine.connect() as connection:
            self._rows = {
                model: [dict(row) for row in connection.execute(model.__table__.select()).mappings()]
                for model in TABLES
            }

    def copy(self) -> None:
        """Write them with one COPY per table, in one transaction."""
        raw = self._engine.raw_connection()
        try:
            with raw.cursor() as cursor:
                for model, content in self._copied.items():
                    statement = f"copy {model.__tablename__} from stdin (format binary)"
                    cursor.copy_expert(statement, io.BytesIO(content), len(content))
            raw.commit()
        finally:
            raw.close()

    def commit_each(self) -> None:
        """Write them as the Ibutsu server does: stored through an ORM, one commit each."""
        with Session(self._engine) as session:
            for model, rows in self._rows.items():
                for row in rows:
                    session.add(_object(model, row))
                    session.commit()


def _object(model: type[Any], row: dict[str, Any]) -> Any:
    return model(**row)


def _copy_out(engine: Engine, table: str) -> bytes:
    raw = engine.raw_connection()
    try:
        with raw.cursor() as cursor, io.BytesIO() as content:
            cursor.copy_expert(f"copy {table} to stdout (format binary)", content)
            return content.getvalue()
    finally:
        raw.close()


def empty(engine: Engine) -> None:
    """Take the rows of before away, and what the server would still have to do about them."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("truncate runs, results, artifacts, imports, import_files"))
        connection.execute(text("checkpoint"))


def upload(system: BenchSystem, path: Path) -> tuple[str, dict[str, Any]]:
    """Store a file as the API server does for its page, in a project; give the task and its message."""
    with system.session() as session:
        project_id = session.scalar(select(Project.id)) or make_project(session).id
        stored = store_upload(session, path.name, path, project_id=project_id)
        session.commit()
    message = stored.message | {"created": stored.message["created"].isoformat()}
    return stored.wire_name.removeprefix("ibutsu_server.tasks."), message


def check(result: bytes, results: int) -> None:
    """Make sure that an import did what it was to do."""
    outcome = json.loads(result)
    assert outcome["status"] == "SUCCESS", outcome
    assert outcome["result"]["results"] == results, outcome


def import_seconds(system: BenchSystem, worker: BenchWorker, path: Path, results: int) -> float:
    """Import a file; give the time from its message in the worker to `done`, as the worker tells it."""
    task_id = system.publish(*upload(system, path))
    check(system.wait_for_result(task_id), results)
    return worker.seconds_of(task_id)


def against_copy(
    system: BenchSystem,
    worker: BenchWorker,
    path: Path,
    results: int,
    *,
    at_most: float,
    at_least: float,
) -> list[Figure]:
    """Compare an import with the COPY of its rows in turns, and with one commit per row once."""

    def ours() -> float:
        empty(system.engine)
        return import_seconds(system, worker, path, results)

    ours()
    rows = StoredRows(system.engine)

    def limit() -> float:
        empty(system.engine)
        return seconds(rows.copy)

    ours_seconds, limit_seconds = interleave(ours, limit, rounds=ROUNDS)
    empty(system.engine)
    today_seconds = seconds(rows.commit_each)
    peak = worker.peak_rss_bytes()
    return [
        ratio("COPY of its rows", ours_seconds, limit_seconds, "s", at_most=at_most, peak_rss_bytes=peak),
        speedup("one commit per row", ours_seconds, today_seconds, "s", at_least=at_least),
    ]
