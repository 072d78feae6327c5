"""What the metrics read of a real Redis."""

from __future__ import annotations

import json
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from ibutsu_tasks.broker.connection import build_client
from ibutsu_tasks.broker.layout import (
    BEAT_LEADER_KEY,
    BINDING_PREFIX,
    HOLDERS,
    PRUNE_SUCCESSES_KEY,
    QUARANTINE,
    SEPARATOR,
    TOTALS,
    UNACKED,
    WORKER_PREFIX,
    redis_list,
)
from ibutsu_tasks.health.metrics import text
from ibutsu_tasks.metrics import page
from ibutsu_tasks.metrics.broker import MOST_QUEUES, BrokerReader
from ibutsu_tasks.metrics.fleet import Fleet
from tests.commands import until
from tests.worker_system import message_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis import Redis

    from ibutsu_tasks.resources import Resources

MOST_COMMANDS = 10


@pytest.fixture
def client(broker_url: str) -> Iterator[Redis]:
    with build_client(broker_url) as connected:
        yield connected


def samples(client: Redis, *queues: str) -> dict[str, float]:
    metrics = page.of_broker(BrokerReader(client, ("celery", "ibutsu-tasks", *queues)).read())
    return {
        "".join(
            [one.name.removeprefix("ibutsu_tasks_"), *(f" {value}" for value in one.labels.values())]
        ): one.value
        for metric in metrics
        for one in metric.samples
    }


def add_worker(client: Redis, name: str, seconds: float = 20, **report: Any) -> None:
    client.zadd(HOLDERS, {name: time.time() + seconds})
    if report:
        client.set(WORKER_PREFIX + name, json.dumps(report))


def test_messages_are_counted_by_queue_and_priority(client: Redis) -> None:
    for queue, priority, number in (("celery", 0, 3), ("celery", 9, 1), ("slow", 3, 2)):
        client.lpush(redis_list(queue, priority), *["{}"] * number)
    client.hset(UNACKED, mapping={"a": "1", "b": "2"})
    client.hset(QUARANTINE, "c", "{}")
    found = samples(client, "slow")
    assert found["queue_messages celery 0"] == 3
    assert found["queue_messages celery 9"] == 1
    assert found["queue_messages slow 3"] == 2
    assert found["queue_messages slow 0"] == found["queue_messages ibutsu-tasks 0"] == 0
    assert (found["held_messages"], found["quarantined_messages"]) == (2, 1)


def test_what_runs_is_held_and_counts_once_in_the_load(client: Redis) -> None:
    client.lpush("celery", *["{}"] * 6)
    client.hset(UNACKED, mapping={str(number): "1" for number in range(4)})
    assert samples(client)["load"] == 10
    add_worker(client, "one@here:1", slots=4, busy=3, queues=["celery", "slow"])
    add_worker(client, "two@here:2", slots=1, busy=1, queues=["celery"])
    add_worker(client, "gone@here:3", -1, slots=100, busy=100, queues=["celery"])
    add_worker(client, "silent@here:4")
    found = samples(client, "slow")
    assert (found["workers"], found["slots"], found["busy_slots"]) == (3, 5, 4)
    assert (found["queue_workers celery"], found["queue_workers slow"]) == (2, 1)
    assert found["load"] == 2


def test_a_queue_is_found_by_its_binding_or_by_its_workers(client: Redis) -> None:
    client.sadd(f"{BINDING_PREFIX}nobody", SEPARATOR.join(("nobody", "", "nobody")))
    client.lpush("nobody", "{}")
    client.lpush("somebody", "{}")
    add_worker(client, "one@here:1", slots=1, busy=0, queues=["somebody"])
    reader = BrokerReader(client, ("celery",))
    assert reader.read().depths["nobody", 0] == 1
    assert reader.read().depths["somebody", 0] == 1


def test_queues_and_tasks_are_bounded(client: Redis) -> None:
    queues = [f"queue-{number}" for number in range(MOST_QUEUES * 2)]
    for number in range(page.MOST_TASKS * 2):
        client.hset(TOTALS, json.dumps(["received_tasks", f"task-{number:04}"]), 1)
    found = samples(client, *queues)
    assert sum(name.startswith("queue_workers ") for name in found) == MOST_QUEUES
    assert sum(name.startswith("fleet_received_tasks_total ") for name in found) == page.MOST_TASKS + 1
    assert found["fleet_received_tasks_total other"] == page.MOST_TASKS


def test_the_age_is_of_when_a_message_was_sent(client: Redis) -> None:
    message = json.loads(message_text("runs.update_run", '"x"')[1])
    message["properties"]["timestamp"] = time.time() - 100
    client.lpush("celery", json.dumps(message), "{}")
    assert samples(client)["queue_oldest_age_seconds celery"] == pytest.approx(100, abs=30)


def test_the_age_of_an_import_is_of_its_upload(client: Redis) -> None:
    created = '{"id": "x", "created": {"__type__": "datetime", "__value__": "2026-01-01T00:00:00"}}'
    client.lpush(redis_list("celery", 3), message_text("importers.run_junit_import", created)[1])
    age = samples(client)["queue_oldest_age_seconds celery"]
    assert age == pytest.approx(time.time() - 1767225600, abs=30)


def test_the_age_of_other_messages_is_since_they_were_first_seen_to_be_next(client: Redis) -> None:
    client.lpush(
        "celery", message_text("runs.update_run", '"x"')[1], message_text("runs.update_run", '"y"')[1]
    )
    # Of one that is too large to be read, too.
    client.lpush("large", message_text("runs.update_run", f'"{"x" * 100_000}"')[1])
    reader = BrokerReader(client, ("celery", "large"))
    first = reader.read()
    assert first.waiting_since["large"] == first.now
    assert first.waiting_since["celery"] == first.now
    until(lambda: reader.read().now > first.now + 0.2)
    assert reader.read().waiting_since == {"celery": first.now, "large": first.now}
    client.rpop("celery")
    assert reader.read().waiting_since["celery"] > first.now
    client.rpop("celery")
    assert "celery" not in reader.read().waiting_since


@pytest.mark.parametrize("kind", ["string", "hash", "list"])
def test_keys_of_other_kinds_and_garbage_end_no_scrape(client: Redis, kind: str) -> None:
    keys = ("celery", UNACKED, QUARANTINE, TOTALS, HOLDERS, PRUNE_SUCCESSES_KEY, BEAT_LEADER_KEY)
    for key in keys:
        if kind == "string":
            client.set(key, b"\xff")
        elif kind == "hash":
            client.hset(key, b"\xff", "no number")
        else:
            client.lpush(key, b"\xff\x00")
    assert samples(client)["workers"] == 0
    client.delete(HOLDERS, PRUNE_SUCCESSES_KEY)
    add_worker(client, "odd@here:1", slots="many", busy=None, queues=7)
    client.hset(PRUNE_SUCCESSES_KEY, "runs", "[]")
    assert samples(client)["workers"] == 1


def test_names_that_no_page_can_be_encoded_with_and_numbers_that_are_none(client: Redis) -> None:
    surrogate = "\ud800"
    client.hset(TOTALS, json.dumps(["received_tasks", surrogate]), 3)
    client.hset(TOTALS, json.dumps(["received_tasks", "endless"]), "nan")
    add_worker(client, "odd@here:1", slots=1, busy=0, queues=[surrogate])
    reader = BrokerReader(client, ())
    reader.read()
    told = text(page.of_broker(reader.read()))
    assert 'fleet_received_tasks_total{task="\ufffd"} 3.0' in told
    assert 'queue_workers{queue="\ufffd"} 1.0' in told
    assert "endless" not in told


@pytest.mark.parametrize("form", [b"\xff", None])
def test_a_garbled_key_of_prunes_hides_their_numbers_alone(
    client: Redis, resources: Resources, form: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    fleet = Fleet(resources)
    if form:
        client.set(PRUNE_SUCCESSES_KEY, form)
    told = [fleet.text() for _ in range(2)][-1]
    assert 'ibutsu_tasks_up{service="broker"} 1.0' in told
    assert "ibutsu_tasks_load 0.0" in told
    assert ("prune_last_success" in told) == (form is None)
    said = [record.getMessage() for record in caplog.records if "prunes" in record.getMessage()]
    expected = f"the key {PRUNE_SUCCESSES_KEY} is a string, and should be a hash"
    assert [expected in one for one in said] == ([True] if form else [])


def test_a_scrape_is_few_commands(client: Redis, broker_url: str) -> None:
    for number in range(20):
        add_worker(client, f"w{number}@here:1", slots=1, busy=0, queues=["celery", f"queue-{number}"])
    reader = BrokerReader(client, ("celery",))
    reader.read()
    lines: list[str] = []

    def listen() -> None:
        with build_client(broker_url) as other, other.monitor() as monitor:
            listening.set()
            for line in monitor.listen():
                # What a script calls costs no round trip, and is bounded by queues and workers.
                if line["client_type"] != "lua":
                    lines.append(line["command"])
                if "the end" in line["command"]:
                    return

    listening = threading.Event()
    thread = threading.Thread(target=listen)
    thread.start()
    listening.wait(30)
    reader.read()
    client.echo("the end")
    thread.join(30)
    own = [line for line in lines if "the end" not in line]
    assert 1 <= len(own) <= MOST_COMMANDS, own
    assert not [line for line in own if line.split()[0] in {"KEYS", "SCAN", "PUBLISH"}]
