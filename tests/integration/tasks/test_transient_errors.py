"""A service that is away for a while delays tasks and loses none."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy.engine import make_url

from ibutsu_tasks.celery_app import create_client_app
from ibutsu_tasks.ibutsu.wire_names import UPDATE_RUN
from ibutsu_tasks.sending import messages
from tests.commands import role, services, until
from tests.doors import forwarding
from tests.factories import make_result, make_run

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from ibutsu_tasks.ibutsu.database.models import Run
    from ibutsu_tasks.resources import Resources
    from ibutsu_tasks.settings import Settings


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@pytest.fixture
def port() -> int:
    return free_port()


def tests_of(session: Session, run: Run) -> int | None:
    session.rollback()
    session.refresh(run)
    return (run.summary or {}).get("tests")


def meta(resources: Resources, task_id: str) -> dict[str, Any]:
    return dict(json.loads(resources.redis.get(f"celery-task-meta-{task_id}") or b"{}"))


@pytest.fixture
def away(settings: Settings, port: int) -> str:
    """The database behind a door that is shut."""
    url = make_url(settings.require_database())
    return f"postgresql://{url.username}@127.0.0.1:{port}/{url.database}"


@pytest.fixture
def server(settings: Settings) -> Path:
    return Path(str(make_url(settings.require_database()).query["host"])) / ".s.PGSQL.5432"


@pytest.fixture
def run(session: Session) -> Run:
    row = make_run(session)
    make_result(session, row)
    session.commit()
    return row


def test_a_task_waits_for_its_database(
    settings: Settings, resources: Resources, session: Session, run: Run, away: str, server: Path, port: int
) -> None:
    with role("worker", env=services(settings.require_broker(), away)) as worker:
        worker.wait_for("ready.")
        task_id = messages.send(create_client_app(settings), UPDATE_RUN, [str(run.id)])
        until(lambda: meta(resources, task_id).get("status") == "RETRY")
        assert meta(resources, task_id)["status"] == "RETRY"
        assert f"127.0.0.1:{port}" in worker.output
        with forwarding(server, port=port):
            until(lambda: meta(resources, task_id)["status"] == "SUCCESS")
            assert meta(resources, task_id)["status"] == "SUCCESS"
            assert worker.stop() == 0
    assert tests_of(session, run) == 1


def test_a_broker_without_memory_loses_no_retry(
    settings: Settings, resources: Resources, session: Session, run: Run, away: str, server: Path, port: int
) -> None:
    with role("worker", env=services(settings.require_broker(), away)) as worker:
        worker.wait_for("ready.")
        # A door where nobody answers holds the task until the broker is full.
        with socket.create_server(("127.0.0.1", port)):
            messages.send(create_client_app(settings), UPDATE_RUN, [str(run.id)])
            worker.wait_for("received")
            resources.redis.config_set("maxmemory", 1)
        try:
            worker.wait_for("the broker is away", 60)
        finally:
            resources.redis.config_set("maxmemory", 0)
        with forwarding(server, port=port):
            until(lambda: tests_of(session, run) == 1)
            assert worker.stop() == 0
    assert tests_of(session, run) == 1
