"""Rows for tests, with as little said as possible."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from sqlalchemy.orm import sessionmaker

from ibutsu_tasks.ibutsu.database.models import Artifact, Import, ImportFile, Project, Result, Run, User

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from sqlalchemy import Engine
    from sqlalchemy.orm import Session


def opener(engine: Engine) -> Callable[[], AbstractContextManager[Session]]:
    """Give what opens a session that commits at the end of its block."""
    return sessionmaker(engine).begin


def utc_now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)


def _add(session: Session, row: Any) -> Any:
    session.add(row)
    session.flush()
    return row


def make_user(session: Session, email: str = "someone@example.com", **columns: Any) -> User:
    values = {"id": uuid4(), "name": email.partition("@")[0], "is_superadmin": False, "is_active": True}
    return _add(session, User(**values | {"email": email} | columns))


def make_project(session: Session, name: str = "demo", **columns: Any) -> Project:
    return _add(session, Project(**{"id": uuid4(), "name": name, "title": name} | columns))


def make_run(session: Session, **columns: Any) -> Run:
    now = utc_now()
    return _add(
        session,
        Run(**{"id": uuid4(), "start_time": now, "created": now, "data": {}, "summary": {}} | columns),
    )


def make_result(session: Session, run: Run, **columns: Any) -> Result:
    values = {
        "id": uuid4(),
        "run_id": run.id,
        "project_id": run.project_id,
        "test_id": "test_it",
        "result": "passed",
        "duration": 1.0,
        "start_time": run.start_time,
        "data": {},
        "params": {},
    }
    return _add(session, Result(**values | columns))


def make_artifact(
    session: Session, result: Result | None = None, run: Run | None = None, **columns: Any
) -> Artifact:
    values = {
        "id": uuid4(),
        "result_id": result.id if result else None,
        "run_id": run.id if run else None,
        "filename": "note.txt",
        "content": b"content",
        "data": {"contentType": "text/plain"},
        "upload_date": utc_now(),
    }
    return _add(session, Artifact(**values | columns))


def make_import(session: Session, content: bytes | None, **columns: Any) -> Import:
    """Store an upload as the API server does: the row, then its content."""
    values = {
        "id": uuid4(),
        "filename": "a.xml",
        "format": "",
        "data": {},
        "status": "pending",
        "created": utc_now(),
    }
    row: Import = _add(session, Import(**values | columns))
    _add(session, ImportFile(id=uuid4(), import_id=row.id, content=content))
    return row
