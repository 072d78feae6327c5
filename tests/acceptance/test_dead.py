"""`ibutsu-tasks dead`: what was set aside is listed, shown without secrets, sent again or thrown away."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from ibutsu_tasks.broker.connection import build_client
from ibutsu_tasks.broker.layout import LOSSES_PREFIX, RESULT_PREFIX, redis_list
from ibutsu_tasks.delivery.dead.losses import count_loss
from ibutsu_tasks.delivery.dead.quarantine import count_set_aside, set_aside
from ibutsu_tasks.ibutsu.wire_names import RUN_JUNIT_IMPORT
from tests.commands import run, run_here, services, type_at_the_question
from tests.factories import make_import
from tests.worker_system import import_message, message_text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from subprocess import CompletedProcess

    from redis import Redis
    from sqlalchemy.orm import Session

    from ibutsu_tasks.ibutsu.database.models import Import
    from ibutsu_tasks.settings import Settings

SECRET = "hunter2-hunter2"
_CODES = re.compile(r"\x1b\[[0-9;]*m")
UPDATE = "runs.update_run"


@pytest.fixture
def client(settings: Settings) -> Iterator[Redis]:
    with build_client(settings.require_broker()) as client:
        yield client


@pytest.fixture
def env(settings: Settings) -> dict[str, str]:
    return services(settings.require_broker(), settings.require_database())


def dead(env: dict[str, str], *arguments: str) -> CompletedProcess[str]:
    return run_here("dead", *arguments, env=env)


def answer(env: dict[str, str], *arguments: str, code: int = 0) -> Any:
    done = dead(env, *arguments, "--json")
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout)


def bury(client: Redis, message: str, key: str | None = None, reason: str = "no reason") -> str:
    key = key or str(uuid4())
    set_aside(client, message.encode(errors="surrogateescape"), "celery", reason, key)
    return key


def import_of(session: Session, content: bytes | None, status: str = "error") -> Import:
    row = make_import(session, content, status=status, data={"error": "killed", "metadata": {}})
    session.commit()
    return row


def bury_import(client: Redis, row: Import) -> str:
    return bury(client, message_text("importers.run_junit_import", import_message(row))[1])


def test_nothing_is_listed_where_nothing_is(env: dict[str, str], client: Redis) -> None:
    assert client.ping()
    assert answer(env, "list") == {"version": 1, "dead": []}
    assert "No message was set aside." in dead(env, "list").stderr
    assert answer(env, "retry", "--all")["retried"] == []
    assert answer(env, "drop", "--all")["dropped"] == []


@pytest.mark.parametrize("columns", ["60", "80", "120", "200"])
def test_the_list_fits_the_terminal(env: dict[str, str], client: Redis, columns: str) -> None:
    run_id = str(uuid4())
    reason = "killed three times, last by signal 9 (SIGKILL)"
    for number in range(3):
        message = message_text(UPDATE, json.dumps(run_id))[1]
        bury(client, message, f"{number}{uuid4()}", reason)
    bury(client, "\x1b[31mhello", reason="it is not JSON: \x1b[2J")
    code, shown = type_at_the_question(env | {"COLUMNS": columns}, "", "dead", "list")
    assert code == 0
    assert "\x1b[2J" not in shown
    lines = [_CODES.sub("", line) for line in shown.splitlines() if "dead show ID" not in line]
    assert max(map(len, lines)) <= int(columns)
    assert sum("update_run" in line for line in lines) == 3
    assert run_id in shown
    assert reason in " ".join(shown.split())


def test_secrets_and_controls_are_not_shown(env: dict[str, str], client: Redis) -> None:
    nested = json.dumps(
        {"id": "1", "api_key": SECRET, "urls": [f"redis://me:{SECRET}@host/0"], "say": "\x1b[2J"}
    )
    _, message = message_text("somebody.else", nested, password=json.dumps(SECRET))
    message = message.replace('"{}"', json.dumps(f"{{'password': '{SECRET}'}}"))
    whole = bury(client, message, reason=f"password={SECRET} was wrong")
    garbage = bury(client, f'{{"token": "{SECRET}", "a": "\x1b[2J')
    for key in (whole, garbage):
        shown = dead(env, "show", key[:10])
        assert shown.returncode == 0, shown.stderr
        told = shown.stdout + shown.stderr + dead(env, "list").stdout
        told += dead(env, "show", key, "--json").stdout + dead(env, "list", "--json").stdout
        assert SECRET not in told
        assert "\x1b" not in told
        assert "***" in told
    assert "'password'" not in dead(env, "show", whole).stdout
    facts = answer(env, "show", whole)
    assert facts["kwargs"] == {"password": "***"}
    assert facts["args"] == [
        {"id": "1", "api_key": "***", "urls": ["redis://me:***@host/0"], "say": "\x1b[2J"}
    ]


def test_a_message_goes_back_to_its_queue_and_its_count_begins_anew(
    env: dict[str, str], client: Redis
) -> None:
    run_id = json.dumps(str(uuid4()))
    message = json.loads(message_text(UPDATE, run_id)[1])
    message["properties"]["priority"] = 6
    for number in range(3):
        count_loss(client, message, str(number))
    key = bury(client, json.dumps(message))
    failure = f"{RESULT_PREFIX}{message['headers']['id']}"
    client.set(failure, '{"status": "FAILURE"}')
    assert answer(env, "retry", key[:8]) == {"version": 1, "retried": [key], "left": []}
    assert [json.loads(one) for one in client.lrange(redis_list("celery", 6), 0, -1)] == [message]
    assert count_set_aside(client) == 0
    assert not client.exists(failure)
    assert not list(client.scan_iter(f"{LOSSES_PREFIX}*"))


def test_an_import_goes_back_with_its_row(env: dict[str, str], client: Redis, session: Session) -> None:
    there, gone = import_of(session, b"<testsuites/>"), import_of(session, None)
    deleted, done = import_of(session, b"<testsuites/>"), import_of(session, None, "done")
    keys = {
        name: bury_import(client, row) for name, row in zip("abcd", (there, gone, deleted, done), strict=True)
    }
    session.delete(deleted)
    session.commit()
    told = answer(env, "retry", "--all", code=1)
    assert set(told["retried"]) == {keys["a"], keys["d"]}
    assert {one["id"]: one["reason"] for one in told["left"]} == {
        keys["b"]: f"the content of import {gone.id} is gone; upload the file again",
        keys["c"]: f"the row of import {deleted.id} was deleted",
    }
    for row in (there, gone, done):
        session.refresh(row)
    assert (there.status, there.data) == ("pending", {"metadata": {}})
    assert (gone.status, done.status) == ("error", "done")
    tasks = {json.loads(one)["headers"]["task"] for one in client.lrange("celery", 0, -1)}
    assert (tasks, client.llen("celery"), count_set_aside(client)) == ({RUN_JUNIT_IMPORT}, 2, 2)


def test_the_database_is_needed_for_imports_alone(
    env: dict[str, str], client: Redis, session: Session
) -> None:
    bury_import(client, import_of(session, b"<testsuites/>"))
    run_key = bury(client, message_text(UPDATE, json.dumps(str(uuid4())))[1])
    alone = {"CELERY_BROKER_URL": env["CELERY_BROKER_URL"]}
    assert answer(alone, "retry", run_key)["retried"] == [run_key]
    assert dead(alone, "retry", "--all").returncode == 3
    assert (client.llen("celery"), count_set_aside(client)) == (1, 1)


def test_what_cannot_be_sent_again_stays_and_says_why(env: dict[str, str], client: Redis) -> None:
    expired = json.loads(message_text(UPDATE, '"1"')[1])
    expired["headers"]["expires"] = "2020-01-01T00:00:00+00:00"
    pickled = json.loads(message_text(UPDATE, '"1"')[1]) | {"content-type": "application/x-python-serialize"}
    garbage = [
        bury(client, one) for one in ("hello", "\udcff", "[1]", json.dumps(pickled), json.dumps(expired))
    ]
    told = answer(env, "retry", *garbage, code=1)
    assert told["retried"] == []
    reasons = {one["id"]: one["reason"] for one in told["left"]}
    assert all("it is no message" in reasons[key] for key in garbage[:3])
    assert "is not JSON" in reasons[garbage[3]]
    assert reasons[garbage[4]] == "it expired at 2020-01-01T00:00:00Z"
    assert count_set_aside(client) == 5
    assert "it is no message" in dead(env, "show", garbage[0]).stdout


def test_dropping_asks(env: dict[str, str], client: Redis) -> None:
    keys = [bury(client, "hello", f"{number}{uuid4()}") for number in range(3)]
    refused = dead(env, "drop", keys[0])
    assert (refused.returncode, count_set_aside(client)) == (2, 3)
    code, shown = type_at_the_question(env, "n\n", "dead", "drop", "--all")
    assert (code, count_set_aside(client)) == (1, 3)
    assert "Nothing was dropped." in shown
    assert answer(env, "drop", keys[0][:12], "--yes")["dropped"] == [keys[0]]
    assert type_at_the_question(env, "y\n", "dead", "drop", "--all")[0] == 0
    assert count_set_aside(client) == 0


def test_wrong_usage(env: dict[str, str], client: Redis) -> None:
    for beginning in ("aa", "ab"):
        bury(client, "hello", f"{beginning}{uuid4()}")
    for words, sentence in (
        (("show", "a"), "2 ids begin with 'a'"),
        (("show", "b"), "No message that was set aside has an id that begins with 'b'"),
        (("retry",), "give --all"),
        (("drop", "aa", "--all", "--yes"), "give --all"),
    ):
        done = dead(env, *words)
        assert (done.returncode, sentence in done.stderr) == (2, True), done.stderr
    assert count_set_aside(client) == 2


def test_no_broker() -> None:
    url = "redis://:secret-word@127.0.0.1:1/0"
    done = run("dead", "list", env={"CELERY_BROKER_URL": url})
    assert done.returncode == 4
    assert "secret-word" not in done.stderr + done.stdout
