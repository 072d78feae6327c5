"""`enqueue`: what is sent, what is refused before anything is, and what is said about the end."""

from __future__ import annotations

import base64
import json
import socket
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
from celery import Celery

from ibutsu_tasks.broker.connection import build_client
from ibutsu_tasks.ibutsu.database.models import Run
from tests.commands import role, run, run_here, services
from tests.factories import make_project, make_result, make_run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy.orm import Session

PREFIX = "ibutsu_server.tasks."
QUIET_HEADERS = {"id", "root_id", "origin", "stamps"}
QUIET_PROPERTIES = {"correlation_id", "reply_to", "delivery_tag", "timestamp"}


@pytest.fixture
def env(broker_url: str, database_url: str) -> dict[str, str]:
    return services(broker_url, database_url)


@pytest.fixture
def worker(env: dict[str, str]) -> Iterator[None]:
    with role("worker", env=env) as running:
        running.wait_for("ready.")
        yield


def messages(broker_url: str, queue: str = "celery") -> list[dict[str, Any]]:
    with build_client(broker_url) as client:
        return [json.loads(raw) for raw in reversed(client.lrange(queue, 0, -1))]


def body(message: dict[str, Any]) -> str:
    return base64.b64decode(message["body"]).decode()


def as_api_server(broker_url: str, task: str, *args: object, **options: Any) -> dict[str, Any]:
    """Publish as the API server does, with an application that knows nothing but the broker."""
    app = Celery("ibutsu_server", broker=broker_url, set_as_current=False)
    app.send_task(task, args, **options)
    app.close()
    message = messages(broker_url)[-1]
    with build_client(broker_url) as client:
        client.lpop("celery")
    return message


def without_identity(message: dict[str, Any]) -> dict[str, Any]:
    headers = {key: value for key, value in message["headers"].items() if key not in QUIET_HEADERS}
    properties = {key: value for key, value in message["properties"].items() if key not in QUIET_PROPERTIES}
    return {**message, "headers": headers, "properties": properties}


def test_message_is_the_api_servers(env: dict[str, str], broker_url: str) -> None:
    for words, args in (
        (["update_run", "--args", '["a-run"]'], ["a-run"]),
        (["query_task", "--args", '[["result=failed"], 1, 1000, false, "results"]'], None),
    ):
        task = PREFIX + ("runs." if args else "query.") + words[0]
        expected = as_api_server(broker_url, task, *(args or json.loads(words[2])))
        done = run("enqueue", *words, env=env)
        assert done.returncode == 0, done.stderr
        (message,) = messages(broker_url)
        assert without_identity(message) == without_identity(expected)
        assert done.stdout.split() == [message["headers"]["id"]]
        with build_client(broker_url) as client:
            client.delete("celery")


def test_datetime_of_a_document_travels_as_it_is(env: dict[str, str], broker_url: str) -> None:
    created = datetime(2026, 11, 21, 6, 9, 29, 950940)  # noqa: DTZ001 - the contract's are naive UTC
    import_ = {"id": str(uuid4()), "filename": "a.xml", "created": created}
    task = PREFIX + "importers.run_junit_import"
    expected = as_api_server(broker_url, task, import_)
    document = json.dumps([import_ | {"created": {"__type__": "datetime", "__value__": created.isoformat()}}])
    assert run("enqueue", "run_junit_import", "--args", "-", env=env, stdin=document).returncode == 0
    (message,) = messages(broker_url)
    assert body(message) == body(expected)


def test_sending_needs_no_database_and_no_result_backend(broker_url: str) -> None:
    with build_client(broker_url) as client:
        client.config_resetstat()
        done = run(
            *("enqueue", "update_run", "run_id=x"),
            env={"CELERY_BROKER_URL": broker_url, "CELERY_RESULT_BACKEND": "redis://127.0.0.1:1/0"},
        )
        assert done.returncode == 0, done.stderr
        assert "cmdstat_subscribe" not in client.info("commandstats")
    assert len(messages(broker_url)) == 1


def test_countdown_and_queue(env: dict[str, str], broker_url: str) -> None:
    done = run(*("enqueue", "update_run", "run_id=x", "--countdown", "90", "--queue", "slow"), env=env)
    assert done.returncode == 0, done.stderr
    (message,) = messages(broker_url, "slow")
    eta = datetime.fromisoformat(message["headers"]["eta"])
    assert timedelta(seconds=60) < eta - datetime.now(UTC) < timedelta(seconds=91)
    assert message["properties"]["delivery_info"]["routing_key"] == "slow"
    assert messages(broker_url) == []


def test_the_longest_countdown_is_sent(env: dict[str, str], broker_url: str) -> None:
    done = run("enqueue", "update_run", "run_id=x", "--countdown", "31536000", env=env)
    assert done.returncode == 0, done.stderr
    (message,) = messages(broker_url)
    assert datetime.fromisoformat(message["headers"]["eta"]) > datetime.now(UTC) + timedelta(days=364)


@pytest.mark.parametrize(
    ("words", "sentences"),
    [
        (["update_rn", "run_id=x"], ["There is no task update_rn.", "Did you mean update_run?"]),
        (["update_run", "run_ids=x"], ["Did you mean run_id?", "update_run(run_id: str)"]),
        (["update_run"], ["update_run: missing a required argument: 'run_id'."]),
        (["update_run", "x"], ["'x' is not of the form NAME=VALUE."]),
        (["update_run", "--args", "[1"], ["--args is no valid JSON"]),
        (["update_run", "--args", "3"], ["--args must be an array or an object, not int."]),
        (["update_run", "--args", "@nowhere"], ["--args @nowhere cannot be read: No such file"]),
        (["update_run", "run_id=x", "--args", '{"run_id": "y"}'], ["run_id is given twice"]),
        (["update_run", "run_id=x", "--local", "--wait", "3"], ["--local goes with none of"]),
        *(
            (["update_run", "run_id=x", flag, text], [f"{flag} must be a number of seconds from"])
            for flag, text in (("--countdown", "nan"), ("--countdown", "1e300"), ("--wait", "inf"))
        ),
        (["update_run", "run_id=x", "--queue", ""], ["--queue needs a name"]),
    ],
)
def test_wrong_usage_is_refused_before_any_service_is_asked_for(
    words: list[str], sentences: list[str]
) -> None:
    done = run_here("enqueue", *words)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    for sentence in sentences:
        assert sentence in done.stderr
    assert "Traceback" not in done.stderr


def test_tasks_are_listed_without_any_service() -> None:
    done = run("enqueue", "--json")
    assert done.returncode == 0, done.stderr
    listed = json.loads(done.stdout)["tasks"]
    assert len(listed) == 13
    assert {"name", "signature", "help"} == set(listed[0])
    assert "update_run(run_id: str)" in run("enqueue").stdout


@pytest.mark.usefixtures("worker")
def test_waiting_ends_with_the_tasks_own_end(env: dict[str, str], session: Session, tmp_path: Path) -> None:
    row = make_run(session)
    make_result(session, row)
    session.commit()
    done = run("enqueue", "update_run", f"run_id={row.id}", "--wait", "100", env=env)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["tests"] == 1

    document = tmp_path / "arguments.json"
    document.write_text('{"page": 1, "page_size": 5}', encoding="utf-8")
    words = ("enqueue", PREFIX + "query.query_task", "tablename=runs", "--args", f"@{document}")
    done = run(*words, "--wait", "100", env=env)
    assert [run_["id"] for run_ in json.loads(done.stdout)["runs"]] == [str(row.id)]

    missing = json.dumps({"id": str(uuid4())})
    words = ("enqueue", "run_junit_import", f"import_={missing}", "--wait", "100")
    done = run(*words, env=env)
    assert (done.returncode, done.stdout) == (1, "")
    assert "run_junit_import failed: There is no import" in done.stderr
    assert "Traceback" not in done.stderr
    assert "Traceback" in run(*words, "--verbose", env=env).stderr
    outcome = json.loads(run(*words, "--json", env=env).stdout)
    assert (outcome["succeeded"], outcome["result"]) == (False, None)
    assert outcome["error"].startswith("There is no import")

    done = run("enqueue", "update_run", "run_id=x", "--queue", "nobody", "--wait", "0.5", env=env)
    assert (done.returncode, done.stdout) == (124, "")
    assert "No worker that answers consumes nobody; they consume celery, ibutsu-tasks." in done.stderr
    assert "has not ended after 0.5 s" in done.stderr


def test_time_that_runs_out_leaves_the_id_and_says_that_nobody_works(env: dict[str, str]) -> None:
    done = run("enqueue", "update_run", "run_id=x", "--wait", "4.5", "--json", env=env)
    assert done.returncode == 124
    document = json.loads(done.stdout)
    assert document["version"] == 1
    assert document["task_id"] in document["error"]
    assert "has not ended after 4.5 s" in document["error"]
    assert done.stderr.count("No worker answers. Start one with `ibutsu-tasks worker`.") == 1


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("enqueue", "update_run", "run_id=x"), 4),
        (("import", __file__), 4),
        (("prune", "runs", "--enqueue", "--yes"), 4),
        (("prune", "runs", "--history"), 4),
        (("prune", "runs", "--dry-run"), 4),
        (("prune", "runs", "--archive", "/dev/null/x", "--yes"), 1),
        (("prune", "fils"), 2),
        (("enqueue", "no_such_task"), 2),
    ],
)
def test_a_failure_is_a_document_too(words: tuple[str, ...], code: int) -> None:
    for variables, expected in (
        (services("redis://127.0.0.1:1/0", "postgresql://127.0.0.1:1/x"), code),
        ({}, 3),
    ):
        if code in {1, 2} and not variables:
            continue
        done = run_here(*words, "--json", env=variables)
        assert done.returncode == expected, done.stderr
        document = json.loads(done.stdout)
        assert (document["version"], document["error"] in done.stderr) == (1, True)


def test_local_needs_the_database_alone(database_url: str, session: Session) -> None:
    row = make_run(session)
    make_result(session, row, result="failed")
    session.commit()
    env = {"SQLALCHEMY_DATABASE_URI": database_url}
    done = run("enqueue", "update_run", f"run_id={row.id}", "--local", env=env)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["failures"] == 1
    session.expire_all()
    assert (session.get_one(Run, row.id).summary or {})["failures"] == 1

    # What a task sends is run right here, too.
    row.summary = {"tests": 7}
    session.commit()
    assert run("enqueue", "sync_aborted_runs", "--local", env=env).returncode == 0
    session.expire_all()
    assert (session.get_one(Run, row.id).summary or {})["tests"] == 1


def test_local_failure_is_a_sentence(database_url: str, session: Session) -> None:
    make_project(session, "known")
    session.commit()
    env = {"SQLALCHEMY_DATABASE_URI": database_url}
    import_id = UUID(int=1)
    words = ("enqueue", "run_junit_import", f'import_={{"id": "{import_id}"}}', "--local")
    done = run(*words, env=env)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"Error: There is no import {import_id}." in done.stderr
    assert "Traceback" not in done.stderr

    nowhere = {"SQLALCHEMY_DATABASE_URI": "postgresql://me:hidden-word@127.0.0.1:1/x"}
    done = run("enqueue", "sync_aborted_runs", "--local", env=nowhere)
    assert done.returncode == 4
    assert "hidden-word" not in done.stderr
    assert "Traceback" not in done.stderr

    done = run("enqueue", "sync_aborted_runs", "--local")
    assert done.returncode == 3


def test_empty_database_is_a_failed_task(empty_database_url: str) -> None:
    env = {"SQLALCHEMY_DATABASE_URI": empty_database_url}
    done = run("enqueue", "sync_aborted_runs", "--local", env=env)
    assert done.returncode == 1
    assert 'relation "runs" does not exist' in done.stderr
    assert "SQL:" not in done.stderr


@contextmanager
def refusing() -> Iterator[int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    yield port


@contextmanager
def silent() -> Iterator[int]:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(16)
        yield server.getsockname()[1]


@contextmanager
def swallowing() -> Iterator[int]:
    """A host that answers no connection request: the queue of a listener that accepts none is full."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for client in waiting:
            client.setblocking(False)
            client.connect_ex(server.getsockname())
        time.sleep(0.1)
        yield server.getsockname()[1]
        for client in waiting:
            client.close()


@pytest.mark.parametrize("dead", [refusing, silent, pytest.param(swallowing, marks=pytest.mark.soak)])
def test_a_dead_broker_or_backend_is_given_up(dead: Any, broker_url: str) -> None:
    with dead() as port:
        url = f"redis://user:hidden-word@127.0.0.1:{port}/0"
        for env, words, sentence in (
            ({"CELERY_BROKER_URL": url}, (), f"Redis at 127.0.0.1:{port}/0 did not work"),
            (
                {"CELERY_BROKER_URL": broker_url, "CELERY_RESULT_BACKEND": url},
                ("--wait", "60"),
                f"The result backend at 127.0.0.1:{port}/0 did not work",
            ),
        ):
            done = run("enqueue", "update_run", "run_id=x", *words, env=env)
            assert done.returncode == 4, done.stderr
            assert sentence in done.stderr
            assert "hidden-word" not in done.stderr + done.stdout
            assert "Traceback" not in done.stderr


def test_option_wins_over_celerys_own_reading_of_the_environment(broker_url: str) -> None:
    elsewhere = dict.fromkeys(("CELERY_BROKER_URL", "CELERY_RESULT_BACKEND"), "redis://127.0.0.1:1/0")
    done = run("--broker-url", broker_url, "enqueue", "update_run", "run_id=x", env=elsewhere)
    assert done.returncode == 0, done.stderr
    assert len(messages(broker_url)) == 1
