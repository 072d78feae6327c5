"""What `queues` and `packages` show of a real broker, a worker, and what is installed."""

from __future__ import annotations

import json

import pytest

from ibutsu_tasks.broker.connection import build_client
from ibutsu_tasks.broker.layout import redis_list
from tests.commands import role, run, services
from tests.worker_system import message_text


def fill(broker_url: str) -> None:
    text = message_text("runs.update_run", '"x"')[1]
    with build_client(broker_url) as client:
        for queue, priority, number in (("lost", None, 2), ("lost", 9, 3), ("lost", 4, 1)):
            client.lpush(redis_list(queue, priority), *([text] * number))


def test_queues_with_a_worker(broker_url: str, database_url: str) -> None:
    env = services(broker_url, database_url)
    with role("worker", env=env) as worker:
        worker.wait_for("ready.")
        run("enqueue", "update_run", "run_id=x", "--queue", "lost", env=env)
        fill(broker_url)
        table, document = run("queues", env=env), json.loads(run("queues", "--json", env=env).stdout)
    assert table.returncode == 0
    assert max(map(len, table.stdout.splitlines())) <= 80
    assert "Nobody consumes lost." in table.stderr
    assert "No task package declares lost." in table.stderr
    rows = {row["queue"]: row for row in document["queues"]}
    assert list(rows) == ["celery", "ibutsu-tasks", "lost"]
    # 9 is Redis' 0, and what has no priority is among those.
    assert rows["lost"]["by_priority"] == {"9-7": 3, "6-4": 1, "3-1": 0, "0": 3}
    assert (rows["lost"]["waiting"], rows["lost"]["consumers"], rows["lost"]["declared_by"]) == (7, [], [])
    assert rows["lost"]["oldest_seconds"] >= 0
    assert rows["celery"]["declared_by"] == ["ibutsu"]
    assert len(rows["celery"]["consumers"]) == 1


@pytest.mark.parametrize("arguments", [(), ("list",)])
def test_packages_as_they_are(arguments: tuple[str, ...]) -> None:
    table, document = run("packages", *arguments), run("packages", *arguments, "--json")
    assert (table.returncode, document.returncode) == (0, 0)
    assert "built in" in table.stdout
    (ibutsu,) = json.loads(document.stdout)["packages"]
    assert (ibutsu["name"], ibutsu["queues"]) == ("ibutsu", ["celery", "ibutsu-tasks"])
    assert len(ibutsu["tasks"]) == 13
    assert len(ibutsu["tables"]) == 12


def test_queues_without_a_broker() -> None:
    done = run("queues", env={"CELERY_BROKER_URL": "redis://127.0.0.1:1/0"})
    assert done.returncode == 4
    assert "Traceback" not in done.stderr
