"""The import tasks, run right here: what they leave in the row, whichever way they end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from celery.exceptions import SoftTimeLimitExceeded
from sqlalchemy import select

from ibutsu_tasks.celery_app import WORKER_NAME, build_database_app
from ibutsu_tasks.ibutsu.database.models import Import, Run
from ibutsu_tasks.ibutsu.operations.imports import run_import
from ibutsu_tasks.ibutsu.operations.imports.uploads import message_of, store_upload
from ibutsu_tasks.ibutsu.operations.run_summary import complete
from ibutsu_tasks.ibutsu.wire_names import RUN_ARCHIVE_IMPORT, RUN_JUNIT_IMPORT
from tests.factories import make_import, make_result, make_run
from tests.sample_files import ARCHIVE, JUNIT, RESULT_IDS, RUN_ID

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.orm import Session

    from ibutsu_tasks.settings import Settings
    from ibutsu_tasks.tasks.base import DatabaseCelery


@pytest.fixture
def app(settings: Settings) -> Iterator[DatabaseCelery]:
    built = build_database_app(WORKER_NAME, settings)
    yield built
    built.resources.close()


def stored(session: Session, name: str, content: bytes) -> dict[str, Any]:
    upload = store_upload(session, name, content)
    session.commit()
    return upload.message


def row_of(session: Session, message: dict[str, Any]) -> Import:
    session.rollback()
    return session.scalars(select(Import).where(Import.id == message["id"])).one()


@pytest.mark.parametrize(
    ("task_name", "name", "content"),
    [
        (RUN_JUNIT_IMPORT, "a.xml", JUNIT),
        (RUN_ARCHIVE_IMPORT, "a.tar.gz", ARCHIVE),
        (RUN_JUNIT_IMPORT, "archive.xml", ARCHIVE),
        (RUN_ARCHIVE_IMPORT, "junit.tar.gz", JUNIT),
    ],
)
def test_file_is_imported_whatever_it_is_called(
    app: DatabaseCelery, session: Session, task_name: str, name: str, content: bytes
) -> None:
    message = stored(session, name, content)
    answer = app.tasks[task_name].apply((message,), throw=True).get()
    row = row_of(session, message)
    assert row.status == "done"
    assert row.data is not None
    assert row.data["run_id"] == [answer["run_id"]]
    assert answer["summary"]["tests"] == 3

    again = app.tasks[task_name].apply((message,), throw=True).get()
    assert (again["already_done"], again["run_id"]) == (True, answer["run_id"])


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "a.xml is empty; expected JUnit XML or an archive written by pytest-ibutsu."),
        (
            b"<html></html>",
            "a.xml is an HTML page; expected JUnit XML or an archive written by pytest-ibutsu.",
        ),
    ],
)
def test_failed_import_says_why_in_its_row(
    app: DatabaseCelery, session: Session, content: bytes, sentence: str
) -> None:
    message = stored(session, "a.xml", content)
    result = app.tasks[RUN_JUNIT_IMPORT].apply((message,))
    row = row_of(session, message)
    assert result.failed()
    assert row.status == "error"
    assert row.data == {"metadata": None, "error": sentence}


def test_arguments_by_keyword_find_the_row_too(app: DatabaseCelery, session: Session) -> None:
    message = stored(session, "a.xml", b"")
    app.tasks[RUN_JUNIT_IMPORT].apply(kwargs={"import_": message})
    assert row_of(session, message).status == "error"


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (
            ZeroDivisionError("secret"),
            "The import failed for an unforeseen reason; the worker's log says more.",
        ),
        (SoftTimeLimitExceeded(), "The import took longer than the worker's soft time limit."),
    ],
)
def test_unforeseen_failure_leaves_nothing_running(
    app: DatabaseCelery, session: Session, monkeypatch: pytest.MonkeyPatch, error: Exception, sentence: str
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(run_import, "drop_content", fail)
    message = stored(session, "a.xml", JUNIT)
    app.tasks[RUN_JUNIT_IMPORT].apply((message,))
    row = row_of(session, message)
    assert row.status == "error"
    assert row.data is not None
    assert row.data["error"] == sentence
    assert session.scalars(select(Run)).all() == []


def test_message_that_names_no_import_only_fails(app: DatabaseCelery) -> None:
    assert app.tasks[RUN_JUNIT_IMPORT].apply(({"id": "odd"},)).failed()
    assert app.tasks[RUN_JUNIT_IMPORT].apply(({"id": str(RUN_ID)},)).failed()


def test_run_that_lost_a_result_is_counted_again(app: DatabaseCelery, session: Session) -> None:
    other = make_run(session, summary=complete({"tests": 1}, 0))
    make_result(session, other, id=RESULT_IDS[0])
    row = make_import(session, ARCHIVE)
    session.commit()
    app.tasks[RUN_ARCHIVE_IMPORT].apply((message_of(row),), throw=True)
    session.refresh(other)
    assert other.summary == complete({}, 0)
