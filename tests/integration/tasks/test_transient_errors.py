"""A service that is away for a while delays tasks and loses none."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy.engine import make_url

from ibutsu_tasks.celery_app import create_client_app
from ibutsu_tasks.sending import messages
from ibutsu_tasks.tasks.runs import UPDATE_RUN
from tests.commands import role, services, until
from tests.doors import forwarding
from tests.factories import make_result, make_run

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from ibutsu_tasks.resources import Resources
    from ibutsu_tasks.settings import Settings


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@pytest.fixture
def port() -> int:
    return free_port()


def meta(resources: Resources, task_id: str) -> dict[str, Any]:
    return dict(json.loads(resources.redis.get(f"celery-task-meta-{task_id}") or b"{}"))


def test_a_task_waits_for_its_database(
    settings: Settings, resources: Resources, session: Session, port: int
) -> None:
    run = make_run(session)
    make_result(session, run)
    session.commit()
    url = make_url(settings.require_database())
    away = f"postgresql://{url.username}@127.0.0.1:{port}/{url.database}"
    with role("worker", env=services(settings.require_broker(), away)) as worker:
        worker.wait_for("ready.")
        task_id = messages.send(create_client_app(settings), UPDATE_RUN, [str(run.id)])
        until(lambda: meta(resources, task_id).get("status") == "RETRY")
        assert meta(resources, task_id)["status"] == "RETRY"
        assert f"127.0.0.1:{port}" in worker.output
        server = Path(str(url.query["host"])) / ".s.PGSQL.5432"
        with forwarding(server, port=port):
            until(lambda: meta(resources, task_id).get("status") == "SUCCESS", 60)
            assert meta(resources, task_id)["status"] == "SUCCESS"
            assert worker.stop() == 0
    session.refresh(run)
    assert (run.summary or {})["tests"] == 1
