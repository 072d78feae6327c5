"""What a worker reports of itself, and how its counts get into the totals of the fleet."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest

from ibutsu_tasks.broker.connection import build_client
from ibutsu_tasks.broker.layout import TOTALS, WORKER_PREFIX
from ibutsu_tasks.delivery import counts
from ibutsu_tasks.delivery import report as reporting
from ibutsu_tasks.delivery.held.lease import Lease
from tests.doors import dead_port, own_valkey

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis import Redis

FIELD = json.dumps([counts.RECEIVED, "a_task"])


@pytest.fixture(autouse=True)
def _counting() -> Iterator[None]:
    with patch.dict(counts.counts, clear=True), patch.dict(reporting._told, clear=True):
        yield


@pytest.fixture
def client(broker_url: str) -> Iterator[Redis]:
    with build_client(broker_url) as connected:
        yield connected


def consumer(*queues: str) -> Any:
    """As much of Celery's consumer as a report is about."""
    tasks = SimpleNamespace(
        queues=[SimpleNamespace(name=name) for name in queues],
        consuming_from=lambda queue: queue in tasks.queues,
    )
    return SimpleNamespace(task_consumer=tasks, pool=SimpleNamespace(num_processes=4))


def report(client: Redis, lease: Lease | None = None) -> None:
    reporting.report(client, lease or Lease("one@here", 20), consumer("celery"))


def total(client: Redis, field: str = FIELD) -> float:
    return float(client.hget(TOTALS, field) or 0)


def test_a_report_ends_with_the_lease_and_one_that_takes_nothing_has_no_room(client: Redis) -> None:
    lease = Lease("one@here", 20)
    report(client, lease)
    key = WORKER_PREFIX + lease.holder
    assert json.loads(client.get(key) or b"") == {"slots": 4, "busy": 0, "queues": ["celery"]}
    assert 0 < client.ttl(key) <= 20
    reporting.report(client, lease, consumer())
    assert json.loads(client.get(key) or b"")["slots"] == 0


def test_what_is_new_is_added_to_what_others_counted(client: Redis) -> None:
    client.hset(TOTALS, FIELD, "5")
    counts.count(counts.RECEIVED, "a_task")
    counts.observe("a_task", "failed", 0.25)
    report(client)
    report(client)
    counts.count(counts.RECEIVED, "a_task")
    # The connection was lost, and there is another.
    report(client, Lease("one@here", 20))
    assert total(client) == 7
    assert total(client, json.dumps([counts.DURATION, "a_task", "failed", "0.5"])) == 1
    assert total(client, json.dumps([counts.DURATION, "a_task", "failed", "sum"])) == 0.25


def test_what_the_broker_did_not_take_is_in_the_next_report(client: Redis) -> None:
    counts.count(counts.RECEIVED, "a_task")
    with build_client(f"redis://127.0.0.1:{dead_port()}/0") as nobody:
        report(nobody)
    with own_valkey("--maxmemory", "1") as port, build_client(f"redis://127.0.0.1:{port}/0") as full:
        report(full)
        assert full.dbsize() == 0
    counts.count(counts.RECEIVED, "a_task")
    report(client)
    assert total(client) == 2


def test_garbage_in_the_totals_gives_way(client: Redis) -> None:
    client.set(TOTALS, "no hash")
    counts.count(counts.RECEIVED, "a_task")
    report(client)
    assert total(client) == 1
    client.hset(TOTALS, FIELD, "no number")
    counts.count(counts.RECEIVED, "a_task")
    report(client)
    assert total(client) == 1
