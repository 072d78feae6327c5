"""Prunes in a real worker: how far they are, beside a second one, and when the worker is to stop."""

from __future__ import annotations

import json
from contextlib import closing
from typing import TYPE_CHECKING, Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from ibutsu_tasks.broker.connection import build_client
from ibutsu_tasks.retention.watch import take_prune_lock
from tests.commands import role, services, until
from tests.slow_files import files_left, store_slow_files
from tests.worker_system import System

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from ibutsu_tasks.settings import Settings

ROWS = 5000


def test_a_worker_told_to_stop_leaves_the_rest_to_the_next_one(settings: Settings, session: Session) -> None:
    store_slow_files(session, ROWS)
    broker_url, database_url = settings.require_broker(), settings.require_database()
    env = services(broker_url, database_url)
    with closing(build_client(broker_url)) as client:
        with role("worker", env=env) as worker:
            task_id = System(client, session, worker).publish("db.prune_old_files", "3")
            key = f"celery-task-meta-{task_id}"

            def state() -> dict[str, Any]:
                return dict(json.loads(client.get(key) or b"{}"))

            until(lambda: state().get("status") == "STARTED" and files_left(session) < ROWS)
            told = state()["result"]
            assert worker.stop() == 0
        assert told["rule"] == "files"
        assert 0 < told["rows"] <= ROWS - files_left(session)
        assert told["waiting_for"] is None
        assert "The worker stops" in worker.output
        assert 0 < files_left(session) < ROWS
        session.execute(text("drop trigger slow on artifacts"))
        session.commit()
        with role("worker", env=env):
            until(lambda: state().get("status") == "SUCCESS")
        assert state()["status"] == "SUCCESS"
    assert files_left(session) == 0


def test_a_prune_that_meets_another_waits_and_then_runs(
    settings: Settings, engine: Engine, session: Session
) -> None:
    store_slow_files(session, 1)
    broker_url, database_url = settings.require_broker(), settings.require_database()
    with (
        closing(build_client(broker_url)) as client,
        role("worker", env=services(broker_url, database_url)) as worker,
    ):
        system = System(client, session, worker)
        with Session(engine) as holder:
            take_prune_lock(holder)
            task_id = system.publish("db.prune_old_files", "3")
            worker.wait_for("Another prune is running since")
        outcome = system.outcome(task_id)
    assert (outcome["status"], outcome["result"]["deleted"]) == ("SUCCESS", {"artifacts": 1})
