from __future__ import annotations

import json

import pytest

from ibutsu_tasks.broker.connection import build_client
from ibutsu_tasks.broker.layout import redis_lists, restore_unacked
from ibutsu_tasks.celery_app import create_broker_celery_app
from ibutsu_tasks.settings import load_settings


@pytest.mark.parametrize(("queue", "priority"), [("celery", 0), ("celery", 5), ("reports", 9)])
def test_held_messages_return_to_the_head_of_their_list(broker_url: str, queue: str, priority: int) -> None:
    app = create_broker_celery_app(settings=load_settings({"broker_url": broker_url}, environ={}))
    for number in range(3):
        app.send_task("a.task", args=[number], queue=queue, priority=priority)
    app.close()
    with build_client(broker_url) as client:
        (used,) = [name for name in redis_lists(queue) if client.llen(name)]
        before = client.lrange(used, 0, -1)
        # As kombu does when a consumer takes a message; then the consumer is killed.
        message = json.loads(str(client.rpop(used), "utf-8"))
        delivery = message["properties"]["delivery_info"]
        client.hset("unacked", "tag", json.dumps([message, delivery["exchange"], delivery["routing_key"]]))
        client.zadd("unacked_index", {"tag": 1})

        assert restore_unacked(client, broker_url, [].append) == 1
        after = client.lrange(used, 0, -1)
        assert after[:-1] == before[:-1]
        restored, taken = json.loads(after[-1]), json.loads(before[-1])
        assert restored["headers"].pop("redelivered") is True
        assert restored["properties"]["delivery_info"].pop("redelivered") is True
        assert restored == taken
        assert client.exists("unacked", "unacked_index") == 0
        assert restore_unacked(client, broker_url, [].append) == 0


@pytest.mark.parametrize(
    "value",
    [
        b"\xff",
        b"not json",
        b"null",
        b"{}",
        b"[1, 2]",
        b'[1, "celery", "celery"]',
        b'[{"headers": 5}, "celery", "celery"]',
        b'[{"properties": {"delivery_info": "x"}}, "celery", "celery"]',
        b'[{}, {}, "celery"]',
        b"[" * 100_000,
    ],
)
def test_what_is_no_message_is_set_aside_and_costs_no_other(broker_url: str, value: bytes) -> None:
    message = {"body": "", "headers": {}, "properties": {"delivery_info": {}}}
    aside: list[bytes] = []
    with build_client(broker_url) as client:
        client.hset("unacked", mapping={"bad": value, "good": json.dumps([message, "", "celery"])})
        client.zadd("unacked_index", {"bad": 1, "good": 1})
        assert restore_unacked(client, broker_url, aside.append) == 1
        assert aside == [value]
        assert client.exists("unacked", "unacked_index") == 0
        assert client.llen("celery") == 1
