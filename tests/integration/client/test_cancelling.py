"""Cancelling tasks that wait, run or have ended, with workers and without."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from ibutsu_tasks.broker.connection import build_client
from ibutsu_tasks.broker.layout import REVOKED, UNACKED, queue_depth
from ibutsu_tasks.client import Client, Sent
from tests.commands import Running, role, services, until
from tests.held_imports import held_artifacts
from tests.integration.client.test_without_broker import ended, import_row, store_import

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from sqlalchemy import Engine
    from sqlalchemy.orm import Session

    from ibutsu_tasks.settings import Settings

BEFORE = ("error", "The import was revoked before it began.")


@pytest.fixture
def client(settings: Settings) -> Iterator[Client]:
    with closing(Client(settings)) as one:
        yield one


def worker(settings: Settings, *options: str) -> Running:
    env = services(settings.require_broker(), settings.require_database())
    return role("worker", *options, env=env)


def send_import(client: Client, session: Session) -> tuple[UUID, Sent]:
    import_id, message = store_import(session)
    return import_id, client.send("run_junit_import", [message])


def test_without_a_worker_the_next_one_lets_go_of_it(
    client: Client, settings: Settings, session: Session
) -> None:
    (cancelled, sent), (other, also_sent) = (send_import(client, session) for _ in range(2))
    assert client.cancel(sent.task_id)
    assert sent.status().state == "REVOKED"
    assert not client.cancel(sent.task_id)
    with build_client(settings.require_broker()) as redis:
        # It waits, so that nobody takes the import for lost and sends it again.
        assert queue_depth(redis, "celery") == 2
        with worker(settings) as running:
            running.wait_for("ready.")
            assert ended(also_sent).state == "SUCCESS"
            until(lambda: import_row(session, cancelled)[0] == "error", 30)
            until(lambda: not queue_depth(redis, "celery") and not redis.hlen(UNACKED), 30)
    assert import_row(session, cancelled) == BEFORE
    assert import_row(session, other) == ("done", None)
    assert sent.status().state == "REVOKED"


def test_a_worker_terminates_what_runs_and_lets_go_of_what_it_holds(
    client: Client, settings: Settings, session: Session, engine: Engine
) -> None:
    with worker(settings) as running:
        running.wait_for("ready.")
        with held_artifacts(engine) as is_waiting:
            (at_work, one), (waiting, other) = (send_import(client, session) for _ in range(2))
            until(is_waiting, 30)
            assert client.cancel(other.task_id)
            assert other.status().state == "REVOKED"
            assert client.cancel(one.task_id)
            assert ended(one).state == "REVOKED"
            until(lambda: import_row(session, at_work)[0] == "error", 30)
        assert import_row(session, at_work) == ("error", "The import was terminated while it ran (SIGTERM).")
        until(lambda: import_row(session, waiting)[0] == "error", 30)
        assert import_row(session, waiting) == BEFORE
        # What has ended is left alone.
        done_id, done = send_import(client, session)
        assert ended(done).state == "SUCCESS"
        assert not client.cancel(done.task_id)
        assert done.status().state == "SUCCESS"
        assert import_row(session, done_id) == ("done", None)


def test_a_worker_that_does_not_answer_may_be_running_it(
    client: Client, settings: Settings, session: Session, engine: Engine
) -> None:
    with worker(settings, "--", "--pool", "solo") as running:
        running.wait_for("ready.")
        with held_artifacts(engine) as is_waiting:
            import_id, sent = send_import(client, session)
            until(is_waiting, 30)
            # Its only thread runs the task.
            assert not client.cancel(sent.task_id)
        assert ended(sent).state == "SUCCESS"
    assert import_row(session, import_id) == ("done", None)


def test_a_key_of_another_type_does_not_keep_a_worker_from_its_work(
    client: Client, settings: Settings, session: Session
) -> None:
    with build_client(settings.require_broker()) as redis:
        redis.set(REVOKED, "garbled")
    with worker(settings) as running:
        running.wait_for("ready.")
        import_id, sent = send_import(client, session)
        assert ended(sent).state == "SUCCESS"
    assert import_row(session, import_id) == ("done", None)
    assert "Which tasks were cancelled cannot be read: WRONGTYPE" in running.output


def test_an_id_that_nobody_knows_counts_as_waiting(client: Client) -> None:
    task_id = str(uuid4())
    assert client.cancel(task_id)
    assert client.status(task_id).state == "REVOKED"
