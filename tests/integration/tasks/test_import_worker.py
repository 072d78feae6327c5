"""Imports through a real worker: messages as the API server sends them, and processes that are killed."""

from __future__ import annotations

import sys
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import psutil
from sqlalchemy import func, select

from ibutsu_tasks.broker.connection import build_client
from ibutsu_tasks.broker.job_updates import Listener
from ibutsu_tasks.celery_app import create_broker_celery_app
from ibutsu_tasks.ibutsu.database.models import Artifact, Import, Result, Run
from ibutsu_tasks.ibutsu.operations.imports.uploads import StoredUpload, store_upload
from tests.commands import Running, services, until
from tests.held_imports import held_artifacts
from tests.sample_files import ARCHIVE, JUNIT, RUN_ID

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Engine
    from sqlalchemy.orm import Session

    from ibutsu_tasks.settings import Settings

WAIT_SECONDS = 120


def wait_for(condition: Callable[[], Any], what: str) -> None:
    until(condition, WAIT_SECONDS)
    assert condition(), f"waited {WAIT_SECONDS} s for {what}"


@contextmanager
def running_worker(settings: Settings, **variables: str) -> Iterator[psutil.Process]:
    """Celery's own command line on our application, with two pool processes."""
    options = ("-m", "celery", "-A", "ibutsu_tasks:worker_app", "worker", "--pool=prefork", "-c", "2")
    env = services(settings.require_broker(), settings.require_database()) | variables
    with Running(sys.executable, *options, env=env) as worker:
        worker.wait_for(" ready.", WAIT_SECONDS)
        yield psutil.Process(worker.process.pid)


def publish(settings: Settings, upload: StoredUpload, times: int = 1) -> None:
    app = create_broker_celery_app("tests", settings)
    for _ in range(times):
        app.send_task(upload.wire_name, (upload.message,))
    app.close()


def store(session: Session, name: str, content: bytes) -> StoredUpload:
    upload = store_upload(session, name, content)
    session.commit()
    return upload


def status_of(session: Session, upload: StoredUpload) -> str | None:
    session.rollback()
    return session.scalar(select(Import.status).where(Import.id == upload.import_id))


def rows(session: Session) -> list[int | None]:
    session.rollback()
    return [session.scalar(select(func.count()).select_from(model)) for model in (Run, Result, Artifact)]


def test_imports_and_their_repetitions_end_in_done(session: Session, settings: Settings) -> None:
    junit, archive = store(session, "a.xml", JUNIT), store(session, "a.tar.gz", ARCHIVE)
    html = store(session, "a.html", b"<html></html>")
    publish(settings, junit, times=5)
    publish(settings, archive, times=5)
    publish(settings, html)
    with running_worker(settings):
        for upload, status in ((junit, "done"), (archive, "done"), (html, "error")):
            wait_for(
                lambda upload=upload, status=status: status_of(session, upload) == status,
                f"{status} of {upload}",
            )
        run = select(Run.duration).where(Run.id == RUN_ID)
        wait_for(lambda: session.scalar(run) == 3.0, "update_run after the archive")
    assert rows(session) == [2, 6, 4]


def test_killed_process_leaves_no_half_and_its_import_runs_again(
    session: Session, engine: Engine, settings: Settings
) -> None:
    upload = store(session, "a.xml", JUNIT)
    with running_worker(settings) as worker:
        with held_artifacts(engine) as is_waiting:
            publish(settings, upload)
            wait_for(is_waiting, "the import to reach its artifacts")
            for child in worker.children():
                child.kill()
            assert status_of(session, upload) == "running"
        wait_for(lambda: status_of(session, upload) == "done", "the second try")
    assert rows(session) == [1, 3, 2]


def test_hard_time_limit_ends_in_error_and_is_told(
    session: Session, engine: Engine, settings: Settings
) -> None:
    upload = store(session, "a.xml", JUNIT)
    told: list[str] = []
    with (
        running_worker(settings, CELERY_TASK_TIME_LIMIT="2"),
        held_artifacts(engine) as is_waiting,
        build_client(settings.require_broker()) as client,
        closing(Listener(client)) as listener,
    ):
        publish(settings, upload)
        wait_for(
            lambda: is_waiting() or status_of(session, upload) == "error", "the import to reach its artifacts"
        )
        wait_for(lambda: status_of(session, upload) == "error", "the error")
        # So it was told while the import still had everything: its own wait ends after 10 s.
        assert is_waiting()
        wait_for(lambda: told.extend(one.status for one in listener.wait(0.1)) or "error" in told, "its word")
    # Celery says so twice, and ends the process only then.
    assert list(dict.fromkeys(told)) == ["running", "error"]
    data = session.scalar(select(Import.data).where(Import.id == upload.import_id))
    assert data is not None
    assert data["error"] == "The import took longer than its time limit and was stopped."
    assert rows(session) == [0, 0, 0]
