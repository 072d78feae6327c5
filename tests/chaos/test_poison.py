"""Messages that kill whoever takes them, real imports among them, while two workers have other work."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from sqlalchemy import func, select, text

from ibutsu_tasks.broker.connection import build_client
from ibutsu_tasks.celery_app import create_broker_celery_app
from ibutsu_tasks.ibutsu.database.models import Artifact, Import, Result, Run
from ibutsu_tasks.ibutsu.operations.imports.uploads import StoredUpload, store_upload
from tests.commands import Running, run, services, until
from tests.held_imports import held_artifacts
from tests.poisoned import Poisoned, poison_worker
from tests.sample_files import JUNIT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Engine
    from sqlalchemy.orm import Session

    from ibutsu_tasks.settings import Settings


@pytest.fixture
def env(settings: Settings) -> dict[str, str]:
    return services(settings.require_broker(), settings.require_database())


@pytest.fixture
def workers(env: dict[str, str]) -> Iterator[list[Running]]:
    with poison_worker(env) as first, poison_worker(env) as second:
        yield [first, second]


@pytest.fixture
def poisoned(settings: Settings) -> Iterator[Poisoned]:
    with build_client(settings.require_broker()) as client:
        yield Poisoned(client)


def publish(settings: Settings, upload: StoredUpload) -> None:
    """Send the import as the API server does, under a new id each time."""
    app = create_broker_celery_app("tests", settings)
    app.send_task(upload.wire_name, (upload.message,))
    app.close()


def row_of(session: Session, upload: StoredUpload) -> tuple[str | None, str | None]:
    """Give the state of an import, and the sentence of its error."""
    session.rollback()
    found = session.execute(select(Import.status, Import.data).where(Import.id == upload.import_id)).one()
    return found.status, (found.data or {}).get("error")


def rows(session: Session) -> list[int | None]:
    session.rollback()
    return [session.scalar(select(func.count()).select_from(model)) for model in (Run, Result, Artifact)]


def kill_at(is_waiting: Callable[[], bool], session: Session, workers: list[Running]) -> None:
    """Wait for an import to come between its results and its artifacts, and kill the pool processes."""
    until(is_waiting)
    assert is_waiting()
    for worker in workers:
        for child in psutil.Process(worker.process.pid).children():
            child.kill()
    # The server itself would notice only when the lock is granted.
    gone = "select pg_terminate_backend(pid, 10000) from pg_locks where not granted"
    session.execute(text(f"{gone} and relation = 'artifacts'::regclass"))
    session.rollback()


def command(env: dict[str, str], *arguments: str) -> Any:
    done = run("dead", *arguments, "--json", env=env)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_an_import_killed_three_times_is_set_aside_and_can_be_sent_again(
    session: Session,
    engine: Engine,
    settings: Settings,
    env: dict[str, str],
    workers: list[Running],
    poisoned: Poisoned,
) -> None:
    upload = store_upload(session, "a.xml", JUNIT)
    session.commit()
    publish(settings, upload)
    with held_artifacts(engine) as is_waiting:
        for number in range(3):
            kill_at(is_waiting, session, workers)
            other = poisoned.send(f"other {number}")
            assert poisoned.outcome(other)["status"] == "SUCCESS"
    until(lambda: row_of(session, upload)[0] == "error")
    status, sentence = row_of(session, upload)
    assert status == "error"
    assert sentence == (
        "The process importing this file was killed three times, last by signal 9 (SIGKILL),"
        " most likely for want of memory."
    )
    assert rows(session) == [0, 0, 0]
    poisoned.wait_until_settled()

    (dead,) = command(env, "list")["dead"]
    assert (dead["about"], dead["deliveries"]) == (str(upload.import_id), 3)
    assert command(env, "retry", dead["id"][:8])["retried"] == [dead["id"]]
    until(lambda: row_of(session, upload)[0] == "done")
    assert row_of(session, upload) == ("done", None)
    poisoned.wait_until_settled()
    assert rows(session) == [1, 3, 2]
    assert (poisoned.dead(), poisoned.losses()) == ([], [])


def test_a_stop_of_the_whole_group_is_no_loss(env: dict[str, str], poisoned: Poisoned) -> None:
    poisoned.poison("slow", "wait")
    with poison_worker(env) as worker:
        poisoned.send("slow")
        until(lambda: poisoned.runs("slow") == 1)
        # As a service manager does: the worker and its processes at once.
        os.killpg(worker.process.pid, signal.SIGTERM)
        worker.process.wait(60)
    assert (poisoned.losses(), poisoned.client.llen("celery")) == ([], 1)
    assert poisoned.client.hlen("unacked") == 0


@pytest.mark.soak
def test_a_poison_among_two_workers_kills_three_times_and_no_more(
    workers: list[Running], poisoned: Poisoned
) -> None:
    poisoned.poison("poison", 9)
    poisons = [poisoned.send("poison") for _ in range(3)]
    others = [poisoned.send(f"other {number}") for number in range(200)]
    assert {poisoned.outcome(one)["status"] for one in others} == {"SUCCESS"}
    assert {poisoned.outcome(one)["status"] for one in poisons} == {"FAILURE"}
    poisoned.wait_until_settled()
    # Each message ends by the count of all: at the worst, all three were running at the last loss.
    assert 3 <= poisoned.runs("poison") <= 5
    assert len(poisoned.dead()) == 3
    assert all(worker.process.poll() is None for worker in workers)
