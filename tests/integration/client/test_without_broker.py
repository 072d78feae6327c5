"""A producer whose broker is away: its tasks run in its own process, until the broker is back."""

from __future__ import annotations

import logging
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select, text

from ibutsu_tasks.broker.connection import address_of
from ibutsu_tasks.client import Client, Sent, Status
from ibutsu_tasks.errors import BrokerUnreachableError, SettingsError
from ibutsu_tasks.ibutsu.database.models import Import, Run
from ibutsu_tasks.ibutsu.operations.imports.uploads import store_upload
from ibutsu_tasks.settings import load_settings
from tests.acceptance.test_enqueue import messages
from tests.commands import environment, until
from tests.doors import dead_port
from tests.factories import make_result, make_run
from tests.held_imports import held_artifacts
from tests.proxy import Proxy
from tests.sample_files import JUNIT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from sqlalchemy import Engine
    from sqlalchemy.orm import Session

LOG = "ibutsu_tasks.sending"


def fallback(broker_url: str | None, database_url: str) -> dict[str, str]:
    own = {"SQLALCHEMY_DATABASE_URI": database_url, "IBUTSU_TASKS_LOCAL_FALLBACK": "1"}
    return own | ({"CELERY_BROKER_URL": broker_url} if broker_url else {})


@pytest.fixture
def client(database_url: str) -> Iterator[Client]:
    settings = load_settings(environ=fallback(None, database_url))
    with closing(Client(settings)) as one:
        yield one


def ended(sent: Sent) -> Status:
    until(lambda: sent.status().has_ended, 30)
    return sent.status()


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name.startswith(LOG)]


def store_run(session: Session) -> Run:
    run = make_run(session)
    make_result(session, run)
    session.commit()
    return run


def store_import(session: Session, content: bytes = JUNIT) -> tuple[UUID, Any]:
    upload = store_upload(session, "a.xml", content)
    session.commit()
    return upload.import_id, upload.message


def import_row(session: Session, import_id: UUID) -> tuple[str | None, Any]:
    session.rollback()
    status, data = session.execute(select(Import.status, Import.data).where(Import.id == import_id)).one()
    return status, (data or {}).get("error")


def test_tasks_run_here_while_the_broker_is_away_and_there_when_it_is_back(
    broker_url: str, database_url: str, session: Session, caplog: pytest.LogCaptureFixture
) -> None:
    run = store_run(session)
    with Proxy(Path(address_of(broker_url).path or "")) as proxy, caplog.at_level(logging.INFO, LOG):
        url = f"redis://127.0.0.1:{proxy.port}/0"
        with closing(Client(load_settings(environ=fallback(url, database_url)))) as client:
            assert not client.send("update_run", ["before"]).is_local
            assert caplog.messages == []
            proxy.shut()
            here = [client.send("update_run", [str(run.id)]) for _ in range(3)]
            assert all(one.is_local for one in here)
            assert [ended(one).state for one in here] == ["SUCCESS"] * 3
            # The tasks say something, too, once a test before this one has run a worker's.
            (away,) = said(caplog)
            assert away.startswith(f"Redis at 127.0.0.1:{proxy.port}/0 did not work: ")
            assert away.endswith("Tasks run in this process until that is over, and end with it.")
            with pytest.raises(BrokerUnreachableError) as caught:
                client.send("shop.prices.refresh")
            assert caught.value.hint == "No package of this process has the task shop.prices.refresh."

            proxy.heal()
            until(lambda: not client.send("update_run", ["after"]).is_local, 30)
            assert said(caplog)[1:] == ["The broker is back: tasks are sent to it again."]
            # A task of this process is still known in it.
            assert client.status(here[0].task_id) == here[0].status()
    assert len(messages(broker_url)) == 2
    session.rollback()
    assert (session.get_one(Run, run.id, populate_existing=True).summary or {})["tests"] == 1


def test_tasks_run_in_order_with_the_states_of_a_worker(
    client: Client, session: Session, engine: Engine
) -> None:
    first, second = (client_import(client, session) for _ in range(2))
    bad = client_import(client, session, b"<testsuite><testcase")
    assert [one.status().state for one in (second[1], bad[1])] == ["PENDING"] * 2
    for one in (first, second):
        assert ended(one[1]).state == "SUCCESS"
        assert ended(one[1]).result["results"] == 3
        assert import_row(session, one[0]) == ("done", None)
    assert import_row(session, bad[0])[0] in {"pending", "running", "error"}
    failure = ended(bad[1])
    assert (failure.state, failure.result) == ("FAILURE", None)
    assert failure.error
    assert import_row(session, bad[0])[0] == "error"

    with held_artifacts(engine) as is_waiting:
        running, waiting = client_import(client, session), client_import(client, session)
        until(is_waiting, 30)
        assert (running[1].status().state, waiting[1].status().state) == ("STARTED", "PENDING")
        assert not client.cancel(running[1].task_id)
        assert client.cancel(waiting[1].task_id)
        assert waiting[1].status().state == "REVOKED"
        assert not client.cancel(waiting[1].task_id)
    assert ended(running[1]).state == "SUCCESS"
    # What waits for a task that is cancelled ends, as with a worker.
    until(lambda: import_row(session, waiting[0])[0] == "error", 30)
    assert import_row(session, waiting[0]) == ("error", "The import was revoked before it began.")


def client_import(client: Client, session: Session, content: bytes = JUNIT) -> tuple[UUID, Sent]:
    import_id, message = store_import(session, content)
    return import_id, client.send("run_junit_import", [message])


def test_what_is_for_later_waits_and_holds_up_nobody(client: Client, session: Session) -> None:
    run = store_run(session)
    later = client.send("update_run", [str(run.id)], countdown_seconds=3600)
    assert ended(client.send("update_run", [str(run.id)])).state == "SUCCESS"
    assert later.status().state == "PENDING"
    assert client.cancel(later.task_id)
    client.close()
    assert later.status().state == "REVOKED"


def test_without_a_database_it_is_refused_at_once() -> None:
    environ = {"IBUTSU_TASKS_LOCAL_FALLBACK": "1", "CELERY_BROKER_URL": "redis://127.0.0.1:1/0"}
    with pytest.raises(SettingsError, match="POSTGRESQL_HOST"):
        Client(load_settings(environ=environ))


def test_a_switch_is_1_or_0() -> None:
    with pytest.raises(SettingsError, match="IBUTSU_TASKS_LOCAL_FALLBACK must be 1 or 0, not 'maybe'"):
        load_settings(environ={"IBUTSU_TASKS_LOCAL_FALLBACK": "maybe"})
    assert load_settings(environ={"IBUTSU_TASKS_LOCAL_FALLBACK": "off"}).local_fallback is False


PRODUCER = """
import json, logging, sys
from celery import current_app
logging.basicConfig()
from ibutsu_tasks.client import send
for message in json.load(sys.stdin):
    print(send("run_junit_import", [message]).task_id)
assert current_app.main != "ibutsu_server_local", current_app.main
"""


def produce(database_url: str, uploads: list[Any], **variables: str) -> subprocess.CompletedProcess[str]:
    """Send imports from a process whose broker is away, which ends at once."""
    broker_url = f"redis://127.0.0.1:{dead_port()}/0"
    documents = [message | {"created": None} for _, message in uploads]
    return subprocess.run(
        [sys.executable, "-c", PRODUCER],
        env=environment(**fallback(broker_url, database_url), **variables),
        input=str(documents).replace("'", '"').replace("None", "null"),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_a_process_ends_when_its_tasks_have(database_url: str, session: Session) -> None:
    uploads = [store_import(session) for _ in range(2)]
    done = produce(database_url, uploads)
    assert done.returncode == 0, done.stderr
    assert "when its process ended" not in done.stderr
    assert [import_row(session, one) for one, _ in uploads] == [("done", None)] * 2, done.stderr


def test_what_has_not_ended_when_the_process_does_is_named(
    database_url: str, session: Session, engine: Engine
) -> None:
    uploads = [store_import(session) for _ in range(2)]
    with held_artifacts(engine):
        done = produce(database_url, uploads, IBUTSU_TASKS_GRACE_SECONDS="0.5")
    assert done.returncode == 0, done.stderr
    running, waiting = done.stdout.split()
    name = "Task ibutsu_server.tasks.importers.run_junit_import"
    assert f"{name}[{running}] was still running when its process ended: send it again." in done.stderr
    assert f"{name}[{waiting}] had not begun when its process ended: send it again." in done.stderr
    assert "Traceback" not in done.stderr
    session.rollback()
    assert session.scalar(text("select count(*) from results")) == 0
