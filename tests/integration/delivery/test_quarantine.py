"""What kills its process each time is set aside after the third, and everything else goes on."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from ibutsu_tasks.broker.connection import build_client
from ibutsu_tasks.broker.layout import LOSSES_PREFIX, QUARANTINE
from ibutsu_tasks.delivery.dead.losses import clear, count_loss, key_of
from ibutsu_tasks.delivery.dead.quarantine import put_back
from tests.commands import Running, services, until
from tests.poisoned import POISON, RUNS, Poisoned, poison_worker
from tests.worker_system import message_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ibutsu_tasks.local.servers.shared import LocalServers

IMPORT = "importers.run_junit_import"


@pytest.fixture(scope="module")
def worker(servers: LocalServers) -> Iterator[Running]:
    with build_client(servers.broker_url) as client:
        client.flushall()
    with poison_worker(services(servers.broker_url, servers.database_url)) as worker:
        yield worker
    with build_client(servers.broker_url) as client:
        client.flushall()


@pytest.fixture
def poisoned(servers: LocalServers, worker: Running) -> Iterator[Poisoned]:
    with build_client(servers.broker_url) as client:
        client.delete(POISON, RUNS, QUARANTINE, *client.scan_iter(f"{LOSSES_PREFIX}*"))
        yield Poisoned(client)
    assert worker.process.poll() is None


def test_the_third_killed_process_sets_the_message_aside(poisoned: Poisoned) -> None:
    poisoned.poison("a", 9)
    task_id = poisoned.send("a", password='"hunter2"')
    others = [poisoned.send(f"b{number}") for number in range(20)]
    assert all(poisoned.outcome(other)["status"] == "SUCCESS" for other in others)
    outcome = poisoned.outcome(task_id)
    assert outcome["status"] == "FAILURE"
    assert "killed three times, last by signal 9 (SIGKILL)" in str(outcome["result"])
    poisoned.wait_until_settled()
    assert poisoned.runs("a") == 3
    (one,) = poisoned.dead()
    assert (one.content.task, one.content.args, one.queue) == ("tests.touch", ("a",), "celery")
    assert one.facts["deliveries"] == 3
    assert one.facts["first_at"] < one.facts["last_at"]
    assert one.facts["memory_at_most_bytes"] > 10_000_000

    poisoned.client.delete(POISON)
    assert put_back(poisoned.client, one)
    assert not put_back(poisoned.client, one)
    until(lambda: poisoned.runs("a") == 4)
    poisoned.wait_until_settled()
    assert poisoned.outcome(task_id)["status"] == "SUCCESS"
    assert (poisoned.dead(), poisoned.losses()) == ([], [])


def test_losses_are_counted_by_what_a_message_is_about(poisoned: Poisoned) -> None:
    poisoned.poison("a", 11)
    poisoned.poison("b", "exit")
    sent = [poisoned.send("a"), poisoned.send("a"), poisoned.send("b")]
    assert all(poisoned.outcome(one)["status"] == "FAILURE" for one in sent)
    poisoned.wait_until_settled()
    # The second message of the same work meets the count of the first.
    assert 3 <= poisoned.runs("a") <= 4
    assert poisoned.runs("b") == 3
    ended = sorted((one.content.args[0], one.facts["ended_by"]) for one in poisoned.dead())
    assert ended == [("a", "signal 11 (SIGSEGV)")] * 2 + [("b", "exitcode 3")]


def test_an_import_is_its_id_whatever_else_its_messages_say(poisoned: Poisoned) -> None:
    def message(import_id: str, filename: str) -> dict[str, Any]:
        return dict(json.loads(message_text(IMPORT, json.dumps({"id": import_id, "filename": filename}))[1]))

    sent = [("1", "a"), ("1", "b"), ("2", "a"), ("1", "b")]
    deliveries = ["first", "second", "third", "second"]
    counts = [
        count_loss(poisoned.client, message(*one), delivery)
        for one, delivery in zip(sent, deliveries, strict=True)
    ]
    assert counts == [1, 2, 1, 2]
    for one in ("1", "2"):
        assert poisoned.client.ttl(key_of(message(one, "a"))) > 86_400
        clear(poisoned.client, message(one, "c"))
    assert poisoned.losses() == []


@pytest.mark.parametrize("end", ["", pytest.param("fail", marks=pytest.mark.soak)])
def test_work_that_ends_in_an_orderly_way_clears_the_count(poisoned: Poisoned, end: str) -> None:
    poisoned.poison(f"c{end}", 9)
    before = len(poisoned.losses())
    task_id = poisoned.send(f"c{end}")
    until(lambda: len(poisoned.losses()) > before)
    poisoned.poison(f"c{end}", end)
    poisoned.outcome(task_id)
    poisoned.wait_until_settled()
    assert len(poisoned.losses()) == before
    assert poisoned.dead() == []


def test_a_task_that_runs_out_of_memory_by_itself_fails_and_is_acknowledged(poisoned: Poisoned) -> None:
    poisoned.poison("d", "memory")
    ended = [poisoned.outcome(poisoned.send("d")) for _ in range(5)]
    assert {outcome["status"] for outcome in ended} == {"FAILURE"}
    poisoned.wait_until_settled()
    assert poisoned.dead() == []


def test_what_a_task_refuses_is_set_aside_with_its_reason_and_has_failed(poisoned: Poisoned) -> None:
    poisoned.poison("e", "refuse")
    task_id = poisoned.send("e")
    assert poisoned.outcome(task_id)["status"] == "FAILURE"
    poisoned.wait_until_settled()
    (dead,) = poisoned.dead()
    assert (dead.content.task_id, dead.reason) == (task_id, "it was told to")
