"""What is told of a running import: the task's state and the channel `job_updates`, as others read them."""

from __future__ import annotations

import itertools
import json
import time
from contextlib import closing, contextmanager
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from celery.result import AsyncResult
from sqlalchemy import select

from ibutsu_tasks.broker.connection import build_client
from ibutsu_tasks.broker.job_updates import CHANNEL, JobUpdate, Listener, parse, publish
from ibutsu_tasks.celery_app import WORKER_NAME, build_database_app, create_broker_celery_app
from ibutsu_tasks.ibutsu.database.models import Import
from ibutsu_tasks.ibutsu.operations.imports.uploads import StoredUpload, store_upload
from ibutsu_tasks.ibutsu.tasks.progress import ImportReporter
from ibutsu_tasks.sending.status import Status, status_of
from ibutsu_tasks.tasks import progress
from tests.commands import role, services, until
from tests.doors import dead_port, silence
from tests.sample_files import JUNIT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis import Redis
    from sqlalchemy.orm import Session

    from ibutsu_tasks.settings import Settings
    from ibutsu_tasks.tasks.base import DatabaseCelery

CASES = 20_000
CASE = b'<testcase classname="a.b.C" name="test_%d" time="0.1"/>\n'
LARGE = b"<testsuite>\n" + b"".join(CASE % number for number in range(CASES)) + b"</testsuite>"
KEYS = ["task_id", "import_id", "status", "done", "total", "worker"]
IMPORT_ID = UUID(int=7)


def store(session: Session, name: str, content: bytes) -> StoredUpload:
    upload = store_upload(session, name, content)
    session.commit()
    return upload


@contextmanager
def subscription(broker_url: str) -> Iterator[Any]:
    with build_client(broker_url) as client, closing(client.pubsub()) as channel:  # type: ignore[no-untyped-call]
        channel.subscribe(CHANNEL)
        assert channel.get_message(timeout=5)["type"] == "subscribe"
        yield channel


def heard(channel: Any, until_status: str) -> list[tuple[float, dict[str, Any]]]:
    """Everything said until an import ends so, with the time of hearing it."""
    told: list[tuple[float, dict[str, Any]]] = []
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and (not told or told[-1][1]["status"] != until_status):
        message = channel.get_message(timeout=1)
        if message is not None:
            told.append((time.monotonic(), json.loads(message["data"])))
    return told


def test_a_worker_tells_how_far_it_is(session: Session, settings: Settings, broker_url: str) -> None:
    env = services(broker_url, settings.require_database())
    app = create_broker_celery_app("tests", settings)
    states: list[tuple[str, Any]] = []
    with role("worker", env=env) as worker, subscription(broker_url) as channel:
        worker.wait_for("ready.")
        upload = store(session, "large.xml", LARGE)
        task_id = app.send_task(upload.wire_name, (upload.message,)).id
        result: AsyncResult[Any] = AsyncResult(task_id, app=app)
        # The answer of the Ibutsu server knows this state, and a stock reader sees the numbers.
        until(lambda: states.append((result.state, result.info)) or states[-1][0] != "PENDING")
        told = heard(channel, "done")
        until(result.ready)
        small = store(session, "small.xml", JUNIT)
        app.send_task(small.wire_name, (small.message,))
        few = [update for _, update in heard(channel, "done")]
        bad = store(session, "bad.xml", b"<testsuite><testcase")
        app.send_task(bad.wire_name, (bad.message,))
        ended = [update for _, update in heard(channel, "error")]
    app.close()

    state, facts = states[-1]
    assert state == "STARTED", states
    assert 0 < facts["bytes_read"] < facts["bytes_total"] == len(LARGE)
    assert 0 <= facts["cases"] < CASES
    status = Status("STARTED", done=facts["bytes_read"], total=len(LARGE))
    assert status_of({"status": state, "result": facts}) == status
    assert result.result["results"] == CASES

    updates = [update for _, update in told]
    assert all(list(update) == KEYS for update in [*updates, *few, *ended])
    assert {(update["task_id"], update["import_id"], update["total"]) for update in updates} == {
        (task_id, str(upload.import_id), len(LARGE))
    }
    assert [update["status"] for update in updates] == ["running"] * (len(updates) - 1) + ["done"]
    done = [update["done"] for update in updates]
    assert (done[0], done[-1], done) == (0, len(LARGE), sorted(done))
    assert len(updates) > 2
    assert updates[0]["worker"].startswith("celery@")

    numbers = [(update["status"], update["done"], update["total"]) for update in few]
    assert (numbers[0], numbers[-1]) == (("running", 0, len(JUNIT)), ("done", len(JUNIT), len(JUNIT)))
    assert [update["status"] for update in ended][-1] == "error"
    session.rollback()
    statuses = {row.filename: row.status for row in session.scalars(select(Import))}
    assert statuses == {"large.xml": "done", "small.xml": "done", "bad.xml": "error"}


class Heard:
    """A task of a worker's application, as one of its messages is run."""

    def __init__(self, app: DatabaseCelery) -> None:
        self.task: Any = app.tasks["ibutsu_server.tasks.importers.run_junit_import"]
        self.task.push_request(id="some-task", hostname="celery@here", is_eager=False)

    def close(self) -> None:
        self.task.pop_request()


@pytest.fixture
def news(settings: Settings) -> Iterator[ImportReporter]:
    app = build_database_app(WORKER_NAME, settings)
    with closing(Heard(app)) as running:
        yield ImportReporter(running.task, "some-task", IMPORT_ID)
    app.resources.close()


def test_at_most_five_times_a_second(news: ImportReporter, broker_url: str) -> None:
    milliseconds = itertools.count(1_000)
    # Read twice when something is told, else once: so a call takes a millisecond, or two.
    news = ImportReporter(news._reporter._task, "some-task", IMPORT_ID, lambda: next(milliseconds) / 1000)
    with subscription(broker_url) as channel:
        for call in range(700):
            news(call, call, 10**9)
        news.end("done")
        told = [update for _, update in heard(channel, "done")]
    assert [update["status"] for update in told] == ["running"] * 4 + ["done"]
    assert told[0] == dict(
        zip(KEYS, ["some-task", str(IMPORT_ID), "running", 0, 10**9, "celery@here"], strict=True)
    )


@pytest.mark.parametrize("away", ["gone", "silent"])
def test_redis_away_costs_one_time_limit(
    news: ImportReporter, settings: Settings, away: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[int] = []
    monkeypatch.setattr(progress, "publish", lambda *told: tries.append(1) or publish(*told))
    with silence() as silent_port:
        port = silent_port if away == "silent" else dead_port()
        resources = news._reporter._task.resources
        resources.settings = replace(settings, broker_url=f"redis://127.0.0.1:{port}/0")
        for call in range(1000):
            news(call, call, 1000)
        news.end("done")
    assert tries == [1]


def test_what_is_no_update_is_not_heard(broker_url: str) -> None:
    update = JobUpdate("t", "i", "running", 1, 2, "w")
    with build_client(broker_url) as client, closing(Listener(client)) as listener:
        for junk in (b"", b"{", b"[]", b"3", b'{"task_id": 1}', b"\xff"):
            client.publish(CHANNEL, junk)
        client.publish(CHANNEL, json.dumps({**json.loads('{"task_id": "t", "import_id": "i"}'), "status": 3}))
        publish(client, asdict(update))
        assert next(iter(listener.wait(30))) == update
    assert parse(None) is None
    wrong = {"task_id": "t", "import_id": "i", "status": "s", "done": "1", "total": 2, "worker": "w"}
    assert parse(json.dumps(wrong)) is None


def test_a_listener_without_redis_waits() -> None:
    with (
        build_client(f"redis://127.0.0.1:{dead_port()}/0", 1) as client,
        closing(Listener(client)) as listener,
    ):
        began = time.monotonic()
        assert list(listener.wait(0.1)) == []
        assert time.monotonic() - began >= 0.1


def test_a_listener_whose_redis_goes_away_waits(broker_url: str) -> None:
    with build_client(broker_url) as client, closing(Listener(client)) as listener:
        _kill_subscribers(client)
        began = time.monotonic()
        assert list(listener.wait(0.1)) == []
        assert time.monotonic() - began >= 0.1


def _kill_subscribers(client: Redis) -> None:
    for connection in client.client_list(_type="pubsub"):  # type: ignore[union-attr]
        client.client_kill_filter(_id=connection["id"])
