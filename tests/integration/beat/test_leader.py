"""The lease of a leader and the step in which it sends; and messages as kombu has them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from redis.exceptions import ResponseError

from ibutsu_tasks.beat.leader import LEASE_SECONDS, LeaderLease, Sent
from ibutsu_tasks.beat.message import DUE_HEADER, encode
from ibutsu_tasks.beat.state import read_state
from ibutsu_tasks.broker.connection import build_client
from ibutsu_tasks.broker.layout import (
    BEAT_FENCE_KEY,
    BEAT_KNOWN_SINCE_KEY,
    BEAT_LAST_RUNS_KEY,
    BEAT_LEADER_KEY,
    BEAT_STANDBYS_KEY,
)
from ibutsu_tasks.celery_app import create_scheduler_app
from ibutsu_tasks.ibutsu.schedule import SCHEDULE
from ibutsu_tasks.ibutsu.wire_names import OWN_QUEUE, RECONCILE_IMPORTS
from ibutsu_tasks.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis import Redis

    from ibutsu_tasks.packages import ScheduleRow

NOW = datetime(2026, 3, 4, 5, 6, tzinfo=UTC).isoformat()
KEYS = (BEAT_LEADER_KEY, BEAT_FENCE_KEY, BEAT_STANDBYS_KEY, BEAT_LAST_RUNS_KEY, BEAT_KNOWN_SINCE_KEY)


@pytest.fixture
def client(broker_url: str) -> Iterator[Redis]:
    with build_client(broker_url) as client:
        yield client


def two_leases(client: Redis) -> tuple[LeaderLease, LeaderLease]:
    first, second = LeaderLease(client), LeaderLease(client)
    second._me = json.dumps({"host": "elsewhere", "pid": 7})
    return first, second


def send(lease: LeaderLease, last_seen: bytes = b"", message: str = "message") -> Sent:
    return lease.send("entry", last_seen, NOW, "celery", message)


def test_one_leads_and_the_other_when_it_has_ended(client: Redis) -> None:
    first, second = two_leases(client)
    assert [first.try_hold(), second.try_hold(), first.try_hold()] == [True, False, True]
    assert (first.fence, second.fence) == (1, None)
    assert [str(one) for one in read_state(client).standbys] == ["elsewhere (process 7)"]
    first.release()
    assert [second.try_hold(), first.try_hold()] == [True, False]
    assert second.fence == 2
    state = read_state(client)
    assert state.leader
    assert (state.leader.host, state.leader.pid, state.leader.fence) == ("elsewhere", 7, 2)
    assert [one.host for one in state.standbys] != ["elsewhere"]


def test_a_lease_is_renewed_and_ends_by_itself(client: Redis) -> None:
    lease, _ = two_leases(client)
    lease.try_hold()
    client.pexpire(BEAT_LEADER_KEY, 1000)
    assert lease.try_hold()
    assert LEASE_SECONDS * 1000 - 1000 < client.pttl(BEAT_LEADER_KEY) <= LEASE_SECONDS * 1000


def test_only_who_leads_sends_and_each_run_once(client: Redis) -> None:
    first, second = two_leases(client)
    assert send(first) is Sent.NOT_THE_LEADER
    first.try_hold()
    assert send(first) is Sent.SENT
    assert send(first) is Sent.SENT_BEFORE
    client.delete(BEAT_LEADER_KEY)
    assert send(first, NOW.encode()) is Sent.NOT_THE_LEADER
    second.try_hold()
    assert send(first, NOW.encode()) is Sent.NOT_THE_LEADER
    assert send(second, NOW.encode()) is Sent.SENT
    assert client.llen("celery") == 2
    assert client.hget(BEAT_LAST_RUNS_KEY, "entry") == NOW.encode()


def test_who_gives_up_a_lead_that_another_has_by_now_takes_nothing_away(client: Redis) -> None:
    first, second = two_leases(client)
    first.try_hold()
    client.delete(BEAT_LEADER_KEY)
    second.try_hold()
    first.release()
    assert second.try_hold()
    assert second.fence == 2


def test_a_message_that_is_refused_is_not_written_down(client: Redis) -> None:
    lease, _ = two_leases(client)
    lease.try_hold()
    client.set("celery", "no list")
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        send(lease)
    assert not client.exists(BEAT_LAST_RUNS_KEY)
    client.delete("celery")
    assert send(lease) is Sent.SENT


@pytest.mark.parametrize("kind", ["list", "string", "hash"])
def test_keys_of_a_wrong_type_stop_nobody(client: Redis, kind: str) -> None:
    for key in KEYS:
        if kind == "list":
            client.lpush(key, "x")
        elif kind == "string":
            client.set(key, "x")
        else:
            client.hset(key, "x", "x")
    assert read_state(client).leader is None
    lease, _ = two_leases(client)
    assert lease.try_hold()
    assert send(lease) is Sent.SENT
    state = read_state(client)
    assert state.leader
    assert "entry" in state.runs.last


@pytest.mark.parametrize("row", SCHEDULE, ids=lambda row: row.name)
def test_the_message_is_the_one_kombu_writes(client: Redis, broker_url: str, row: ScheduleRow) -> None:
    app = create_scheduler_app(load_settings({"broker_url": broker_url}, environ={}))
    app.send_task(row.task, row.args, headers={"celery_beat_task": True, DUE_HEADER: NOW})
    queue, message = encode(app, row.task, row.args, NOW)
    by_kombu = json.loads(client.rpop(queue) or b"")
    ours = json.loads(message)
    assert queue == (OWN_QUEUE if row.task == RECONCILE_IMPORTS else "celery")

    def without_ids(message: dict[str, Any]) -> dict[str, Any]:
        task_id = message["headers"]["id"]
        assert isinstance(message["properties"]["timestamp"], int)
        message["properties"] |= {"delivery_tag": "tag", "timestamp": 0}
        return dict(json.loads(json.dumps(message).replace(task_id, "id")))

    assert without_ids(ours) == without_ids(by_kombu)
    assert without_ids(ours)["headers"]["id"] == "id"


def test_the_clock_is_redis(client: Redis) -> None:
    seconds, _ = client.time()
    assert abs(read_state(client).runs.now.timestamp() - seconds) < timedelta(seconds=2).total_seconds()
