"""What producers send by `ibutsu_tasks.client`, and what is refused before anything is sent."""

from __future__ import annotations

import math
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from ibutsu_tasks.broker.connection import build_client
from ibutsu_tasks.broker.layout import redis_list
from ibutsu_tasks.client import Client
from ibutsu_tasks.errors import (
    BrokerUnreachableError,
    ServiceUnreachableError,
    SettingsError,
    TaskArgumentsError,
    UsageError,
)
from ibutsu_tasks.ibutsu.wire_names import OWN_QUEUE, RECONCILE_IMPORTS
from ibutsu_tasks.packages import Route
from ibutsu_tasks.settings import load_settings
from tests.acceptance.test_enqueue import PREFIX, body, messages, without_identity
from tests.commands import environment, run
from tests.doors import dead_port, own_valkey

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ibutsu_tasks.settings import Settings


@pytest.fixture
def client(settings: Settings) -> Iterator[Client]:
    with closing(Client(settings)) as one:
        yield one


def test_a_message_is_that_of_enqueue(client: Client, broker_url: str) -> None:
    sent = client.send("update_run", ["a-run"])
    by_name = client.send(f"{PREFIX}runs.update_run", kwargs={"run_id": "a-run"})
    run("enqueue", "update_run", "--args", '["a-run"]', env={"CELERY_BROKER_URL": broker_url})
    first, second, expected = messages(broker_url)
    assert without_identity(first) == without_identity(expected)
    assert (first["headers"]["id"], second["headers"]["id"]) == (sent.task_id, by_name.task_id)
    assert not sent.is_local
    assert sent.status().state == client.status(sent.task_id).state == "PENDING"


def test_queue_and_priority_are_those_of_the_route_unless_given(settings: Settings, broker_url: str) -> None:
    routes = (Route(f"{PREFIX}runs.*", "slow", priority=9),)
    with closing(Client(replace(settings, routes=routes))) as client:
        client.send("reconcile_imports")
        client.send("update_run", ["a"])
        client.send("update_run", ["b"], priority=0)
        client.send("update_run", ["c"], queue="own", priority=4)
        client.send("update_run", ["d"], queue="own")
    (reconciliation,) = messages(broker_url, OWN_QUEUE)
    assert reconciliation["headers"]["task"] == RECONCILE_IMPORTS
    # Redis' order is the other way round: its 0 is first, and 9 last.
    places = {"slow": ["a"], redis_list("slow", 9): ["b"], redis_list("own", 5): ["c"], "own": ["d"]}
    found = {place: [body(one) for one in messages(broker_url, place)] for place in places}
    assert {place: [text[3] for text in texts] for place, texts in found.items()} == places


def test_a_countdown_is_a_time_in_the_message(client: Client, broker_url: str) -> None:
    client.send("update_run", ["a"], countdown_seconds=60)
    (message,) = messages(broker_url)
    left = datetime.fromisoformat(message["headers"]["eta"]) - datetime.now(UTC)
    assert 0 < left.total_seconds() <= 60


def test_a_name_that_nobody_here_knows_is_sent_as_it_stands(client: Client, broker_url: str) -> None:
    client.send("shop.prices.refresh", [1, "two"], {"three": None})
    (message,) = messages(broker_url)
    assert message["headers"]["task"] == "shop.prices.refresh"
    assert body(message).startswith('[[1, "two"], {"three": null},')


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (("update_ran", ["a"]), UsageError, "There is no task update_ran."),
        (("update_run",), TaskArgumentsError, "missing a required argument: 'run_id'"),
        (("update_run", [3]), TaskArgumentsError, "run_id of update_run cannot be 3."),
        (("update_run", [uuid4()]), TaskArgumentsError, 'run_id of update_run cannot be "UUID('),
        (("update_run", [object()]), TaskArgumentsError, "A message cannot hold this value"),
        (("any.name", "id"), TaskArgumentsError, "Arguments are given as a list"),
        (("any.name", {"a": 1}), TaskArgumentsError, "Arguments are given as a list"),
        (("any.name", [], [1]), TaskArgumentsError, "and named ones as a mapping"),
        (("any.name", [], {"a": object()}), TaskArgumentsError, "A message cannot hold this value"),
    ],
)
def test_what_is_wrong_is_refused_before_it_is_sent(
    client: Client, broker_url: str, call: Any, error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error) as caught:
        client.send(*call)
    assert sentence in str(caught.value)
    assert messages(broker_url) == []


@pytest.mark.parametrize("priority", [-1, 10, "high"])
def test_a_priority_is_0_to_9(client: Client, priority: Any) -> None:
    with pytest.raises(UsageError, match="is not a whole number from 0 to 9"):
        client.send("update_run", ["a"], priority=priority)


@pytest.mark.parametrize("seconds", [-1, math.nan, math.inf, 1e9])
def test_a_countdown_is_up_to_a_year(client: Client, seconds: float) -> None:
    with pytest.raises(UsageError, match="is not from 0 to 31536000 s"):
        client.send("update_run", ["a"], countdown_seconds=seconds)


def test_an_id_that_is_empty_is_refused(client: Client) -> None:
    for ask in (client.status, client.cancel):
        with pytest.raises(UsageError, match="The id of a task is empty"):
            ask("")


def test_a_broker_that_is_gone_is_said_to_be_so() -> None:
    gone = Client(load_settings({"broker_url": f"redis://:pass@127.0.0.1:{dead_port()}/0"}, environ={}))
    with pytest.raises(BrokerUnreachableError, match=r"127\.0\.0\.1") as sending:
        gone.send("update_run", ["a"])
    with pytest.raises(ServiceUnreachableError, match=r"127\.0\.0\.1") as cancelling:
        gone.cancel("an-id")
    assert "pass" not in f"{sending.value} {cancelling.value}"
    with pytest.raises(SettingsError, match="CELERY_BROKER_URL is not set"):
        Client(load_settings(environ={})).send("update_run", ["a"])


def test_threads_share_a_client(client: Client, broker_url: str) -> None:
    with ThreadPoolExecutor(8) as threads:
        sent = list(threads.map(lambda number: client.send("update_run", [str(number)]), range(64)))
    assert {one.task_id for one in sent} == {one["headers"]["id"] for one in messages(broker_url)}
    assert len(sent) == 64


def python(program: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program],
        env=environment(**variables),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_the_process_keeps_its_own_celery(broker_url: str) -> None:
    program = (
        "from celery import Celery, current_app\n"
        "import kombu.pools\n"
        "own = Celery('own', broker='memory://')\n"
        "own.conf.broker_pool_limit = 3\n"
        "with own.pool.acquire(): pass\n"
        "from ibutsu_tasks.client import send, status\n"
        "print(send('update_run', ['a'], countdown_seconds=1).status().state)\n"
        "assert current_app.main == 'own', current_app.main\n"
        "assert kombu.pools.get_limit() == own.pool.limit == 3, kombu.pools.get_limit()\n"
        "own.set_default()\n"
        "from concurrent.futures import ThreadPoolExecutor\n"
        "with ThreadPoolExecutor(1) as thread:\n"
        "    thread.submit(send, 'update_run', ['b']).result()\n"
        "    print(thread.submit(lambda: current_app.main).result())\n"
    )
    done = python(program, CELERY_BROKER_URL=broker_url)
    assert done.stdout.split() == ["PENDING", "own"], done.stderr
    assert len(messages(broker_url)) == 2


def test_a_client_goes_on_in_a_process_that_was_forked(broker_url: str) -> None:
    program = (
        "import os\n"
        "from ibutsu_tasks.client import send, status\n"
        "sent = send('update_run', ['parent'])\n"
        "child = os.fork()\n"
        "if not child:\n"
        "    send('update_run', ['child'])\n"
        "    os._exit(sent.status().state != 'PENDING')\n"
        "assert os.waitpid(child, 0)[1] == 0\n"
        "send('update_run', ['parent again'])\n"
    )
    done = python(program, CELERY_BROKER_URL=broker_url)
    assert done.returncode == 0, done.stderr
    names = ["child", "parent", "parent again"]
    assert sorted(body(one).split('"')[1] for one in messages(broker_url)) == names
    with build_client(broker_url) as client:
        assert client.ping()


def test_a_broker_that_restarted_meanwhile_is_connected_to_anew() -> None:
    port = dead_port()
    settings = load_settings({"broker_url": f"redis://127.0.0.1:{port}/0"}, environ={})
    with closing(Client(settings)) as client:
        for _ in range(2):
            with own_valkey(port=port):
                sent = client.send("update_run", ["a"])
                assert client.status(sent.task_id).state == "PENDING"
