"""The scripts by which messages are taken, given up and put back, on a real server."""

from __future__ import annotations

import json
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from unittest.mock import patch
from uuid import uuid4

import pytest

from ibutsu_tasks.broker.connection import build_client
from ibutsu_tasks.broker.layout import HOLDERS, UNACKED, UNACKED_INDEX, holder_names
from ibutsu_tasks.delivery.dead.losses import count_loss, history_of
from ibutsu_tasks.delivery.dead.quarantine import QUARANTINE
from ibutsu_tasks.delivery.held import recovery
from ibutsu_tasks.delivery.held.lease import Lease, leave
from ibutsu_tasks.delivery.held.taking import TAKE, give_up, held_key, look_up, put_back, slots_key
from ibutsu_tasks.delivery.pauses import broker_now
from ibutsu_tasks.ibutsu.wire_names import UPDATE_RUN
from ibutsu_tasks.logs.lines import JsonFormatter
from tests.worker_system import message_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis import Redis

LEASE_SECONDS = 600.0


@pytest.fixture
def client(broker_url: str) -> Iterator[Redis]:
    with build_client(broker_url) as client:
        yield client


@pytest.fixture
def lease(client: Redis) -> Lease:
    lease = Lease("a@here", LEASE_SECONDS)
    renew(lease, client)
    return lease


def renew(lease: Lease, client: Redis, *known: str) -> None:
    lease.renew(client, known, lambda: False)


def take(client: Redis, lease: Lease, *lists: str) -> list[bytes] | None:
    keys = (UNACKED, UNACKED_INDEX, HOLDERS, held_key(lease.holder), *(lists or ("celery",)))
    answer: list[bytes] | None = TAKE(client, keys, lease.holder, LEASE_SECONDS)
    return answer


def message(**changes: Any) -> tuple[str, str]:
    """A message's tag and its text."""
    fields = json.loads(message_text("runs.sync_aborted_runs")[1]) | changes
    return fields["properties"]["delivery_tag"], json.dumps(fields)


def test_what_is_taken_is_written_down_as_kombu_does(client: Redis, lease: Lease) -> None:
    tag, text = message()
    client.lpush("celery", text)
    assert take(client, lease) == [b"celery", text.encode(), tag.encode()]
    assert not client.exists("celery")
    entry = json.loads(client.hget(UNACKED, tag) or "")
    assert entry == [json.loads(text), "", "celery"]
    # Ahead of now, so that no visibility time-out counts while the lease lasts.
    assert (client.zscore(UNACKED_INDEX, tag) or 0) > client.time()[0] + LEASE_SECONDS - 60
    assert give_up(client, lease.holder, tag)
    assert not give_up(client, lease.holder, tag)
    assert not client.exists(UNACKED, UNACKED_INDEX, held_key(lease.holder))


def test_the_first_list_with_a_message_is_taken_from_its_old_end(client: Redis, lease: Lease) -> None:
    (first, first_text), (_, later_text) = message(), message()
    client.lpush("low", message()[1])
    client.lpush("high", first_text, later_text)
    taken = take(client, lease, "none", "high", "low")
    assert taken is not None
    assert (taken[0], taken[2]) == (b"high", first.encode())
    assert take(client, lease, "none") is None


def test_nothing_is_taken_without_a_lease_or_after_it(client: Redis, lease: Lease) -> None:
    client.lpush("celery", message()[1])
    assert take(client, Lease("b@here", LEASE_SECONDS)) is None
    client.zadd(HOLDERS, {lease.holder: client.time()[0] - 1})
    assert take(client, lease) is None
    renew(lease, client)
    assert take(client, lease) is not None


def test_two_messages_of_one_tag_are_two(client: Redis, lease: Lease) -> None:
    tag, text = message()
    client.lpush("celery", text, text)
    tags = [taken[2].decode() for taken in (take(client, lease), take(client, lease)) if taken]
    assert tags[0] == tag
    assert len(set(tags)) == client.hlen(UNACKED) == 2


@pytest.mark.parametrize("item", [b"hello", b"\xff\xfe{}", b"null", b"[1]", b'{"properties": 1}', b""])
def test_what_is_no_message_is_held_all_the_same_and_comes_back(
    client: Redis, lease: Lease, item: bytes
) -> None:
    client.lpush("celery", item)
    taken = take(client, lease)
    assert taken is not None
    assert taken[1] == item
    (held,) = look_up(client, lease.holder)
    assert put_back(client, lease.holder, held)
    assert client.lrange("celery", 0, -1) == [item]
    assert not client.exists(UNACKED, UNACKED_INDEX)


@pytest.mark.parametrize("tag", [b"\xff\xfe", b"\xed\xa0\x80", "é".encode(), b"a b"])
def test_a_tag_that_is_no_plain_text_is_replaced(client: Redis, lease: Lease, tag: bytes) -> None:
    text = json.loads(message()[1])
    text["properties"]["delivery_tag"] = "@"
    client.lpush("celery", json.dumps(text).encode().replace(b"@", tag))
    taken = take(client, lease)
    assert taken is not None
    assert taken[2].isascii()
    renew(lease, client)
    assert recovery.recover(client, lease.holder, LEASE_SECONDS, at_once=True) == 1
    assert client.llen("celery") == 1


def test_what_some_other_program_wrote_among_the_held_keeps_nobody_from_the_rest(
    client: Redis, lease: Lease
) -> None:
    tag, text = message()
    client.lpush("celery", text)
    take(client, lease)
    client.hset(held_key(lease.holder), mapping={b"\xff": b"\xff", "other": "", tag: "garbage"})
    client.zadd(HOLDERS, {b"\xff": 1})
    renew(lease, client, tag)
    renew(lease, client, tag)
    client.zadd(HOLDERS, {lease.holder: 1})
    client.zadd(UNACKED_INDEX, {tag: 1})
    assert recovery.recover_lapsed(client, 0) == 1
    assert client.llen("celery") == 1


def test_a_server_without_memory_keeps_the_message_in_its_queue(client: Redis, lease: Lease) -> None:
    client.lpush("celery", message()[1])
    client.config_set("maxmemory", 1)
    try:
        with pytest.raises(Exception, match="maxmemory"):
            take(client, lease)
    finally:
        client.config_set("maxmemory", 0)
    assert client.llen("celery") == 1
    assert not client.exists(UNACKED, UNACKED_INDEX)


def test_what_is_put_back_is_next_and_marked(client: Redis, lease: Lease) -> None:
    client.lpush("celery\x06\x163", message()[1])
    take(client, lease, "celery\x06\x163")
    client.lpush("celery\x06\x163", message()[1])
    (held,) = look_up(client, lease.holder)
    assert put_back(client, lease.holder, held)
    back = json.loads(client.lindex("celery\x06\x163", -1) or "")
    assert back["properties"]["delivery_tag"] == held.tag
    assert back["headers"]["redelivered"] is back["properties"]["delivery_info"]["redelivered"] is True


@pytest.mark.parametrize("form", ["{since:.6f} {place}", "{since:.6f} 4 {place}", "{since:.7f} {place}"])
@pytest.mark.parametrize("place", ["celery", "celery\x06\x163", "two words"])
def test_what_a_worker_holds_comes_back_to_its_queue_in_each_form_there_was(
    client: Redis, lease: Lease, place: str, form: str
) -> None:
    tag, text = message()
    client.lpush(place, text)
    take(client, lease, place)
    since = float(client.hget(held_key(lease.holder), tag).split()[0])
    client.hset(held_key(lease.holder), tag, form.format(since=since, place=place))
    assert recovery.recover(client, lease.holder, LEASE_SECONDS, at_once=True) == 1
    assert client.llen(place) == 1
    assert not client.exists(UNACKED, UNACKED_INDEX)


@pytest.mark.parametrize("place", ["celery", "4 words\nin lines"])
def test_builds_of_before_and_this_one_find_the_list_a_message_was_taken_from(
    client: Redis, lease: Lease, place: str
) -> None:
    tag, text = message()
    client.lpush(place, text)
    take(client, lease, place)
    since, found = client.hget(held_key(lease.holder), tag).split(b" ", 1)
    (held,) = look_up(client, lease.holder)
    assert found == held.place == place.encode()
    assert abs(float(since) - client.time()[0]) < 60


def test_the_slots_of_a_holder_go_with_it(client: Redis, lease: Lease) -> None:
    leave(client, lease.holder)
    assert not client.keys("ibutsu-tasks:*")
    others = [Lease(name, LEASE_SECONDS) for name in ("b@here", "c@here")]
    for other in others:
        renew(other, client)
    client.lpush("celery", message()[1])
    take(client, others[0])
    leave(client, others[0].holder)
    assert client.exists(slots_key(others[0].holder))
    assert [recovery.recover(client, one.holder, LEASE_SECONDS, at_once=True) for one in others] == [1, 0]
    assert not client.keys("ibutsu-tasks:slots:*")
    assert not client.exists(HOLDERS)


def test_who_lost_its_lease_gives_up_nothing_of_who_has_it_now(client: Redis, lease: Lease) -> None:
    tag, text = message()
    client.lpush("celery", text)
    take(client, lease)
    assert recovery.recover(client, lease.holder, LEASE_SECONDS, at_once=True) == 1
    other = Lease("b@here", LEASE_SECONDS)
    renew(other, client)
    take(client, other)
    assert not give_up(client, lease.holder, tag)
    assert [held.tag for held in look_up(client, other.holder)] == [tag]
    renew(lease, client)
    assert lease.is_lost
    assert not other.is_lost


def test_a_lease_that_lasts_is_not_taken_over(client: Redis, lease: Lease) -> None:
    tag, text = message()
    client.lpush("celery", text)
    take(client, lease)
    assert recovery.recover_lapsed(client, 0) == 0
    assert recovery.recover(client, lease.holder, LEASE_SECONDS) == 0
    over = client.time()[0] - 1
    client.zadd(HOLDERS, {lease.holder: over})
    client.zadd(UNACKED_INDEX, {tag: over})
    assert recovery.recover_lapsed(client, 0) == 1
    assert recovery.recover_lapsed(client, 0) == 0
    assert client.llen("celery") == 1
    assert not client.exists(HOLDERS)


def test_what_a_stock_worker_was_given_meanwhile_stays_its_own(client: Redis, lease: Lease) -> None:
    tag, text = message()
    client.lpush("celery", text)
    take(client, lease)
    client.zadd(UNACKED_INDEX, {tag: client.time()[0] + 10_000})
    assert recovery.recover(client, lease.holder, LEASE_SECONDS, at_once=True) == 0
    assert client.hexists(UNACKED, tag)
    assert not client.exists("celery")


def test_an_answer_that_never_came_is_put_back(client: Redis, lease: Lease) -> None:
    client.lpush("celery", message()[1])
    taken = take(client, lease)
    assert taken is not None
    renew(lease, client, taken[2].decode())
    renew(lease, client)
    assert not client.exists("celery")
    renew(lease, client)
    assert client.llen("celery") == 1


def test_what_was_done_while_the_broker_was_away_is_given_up_later(client: Redis, lease: Lease) -> None:
    tag, text = message()
    client.lpush("celery", text)
    take(client, lease)
    lease.done.add(tag)
    renew(lease, client)
    assert not client.exists(UNACKED, "celery")
    assert not lease.done


def test_only_what_had_begun_counts_a_loss(client: Redis, lease: Lease) -> None:
    lease.slots = 2
    renew(lease, client)
    texts = [message_text("runs.update_run", json.dumps(str(uuid4())))[1] for _ in range(4)]
    later = json.loads(texts[0])
    later["headers"]["eta"] = "2999-01-01T00:00:00+00:00"
    texts[0] = json.dumps(later)
    for text in texts:
        client.lpush("celery", text)
        take(client, lease)
    assert recovery.recover(client, lease.holder, LEASE_SECONDS, at_once=True) == 4
    assert [history_of(client, json.loads(text)).get("deliveries", 0) for text in texts] == [0, 1, 1, 0]


def test_what_was_for_later_when_its_worker_was_lost_had_not_begun(client: Redis, lease: Lease) -> None:
    texts = [message_text("runs.update_run", json.dumps(str(uuid4())))[1] for _ in range(2)]
    later = json.loads(texts[0])
    later["headers"]["eta"] = (broker_now(client) - timedelta(seconds=1)).isoformat()
    texts[0] = json.dumps(later)
    for text in texts:
        client.lpush("celery", text)
        take(client, lease)
    # It was to renew its lease again 450 s ago.
    client.zadd(HOLDERS, {lease.holder: client.time()[0]})
    assert recovery.recover(client, lease.holder, LEASE_SECONDS, at_once=True) == 2
    assert [history_of(client, json.loads(text)).get("deliveries", 0) for text in texts] == [0, 1]


class KilledError(Exception):
    """Stands for the end of a process."""


@contextmanager
def killed_after(client: Redis, commands: int) -> Iterator[None]:
    """Have whoever uses a client come to its end before it sends one more command than these."""
    execute, left = client.execute_command, iter(range(commands))

    def execute_or_end(*arguments: Any, **options: Any) -> Any:
        if next(left, None) is None:
            raise KilledError
        return execute(*arguments, **options)

    with patch.object(client, "execute_command", execute_or_end), suppress(KilledError):
        yield


@pytest.mark.parametrize("commands", range(20))
def test_a_recovery_that_is_killed_is_ended_by_the_next_as_if_it_were_one(
    client: Redis, lease: Lease, commands: int
) -> None:
    lease.slots = 2
    renew(lease, client)
    texts = [message_text("runs.update_run", json.dumps(f"run-{number}"))[1] for number in range(4)]
    poison = json.loads(texts[1])
    for delivery in ("first", "second"):
        count_loss(client, poison, delivery)
    for text in texts:
        client.lpush("celery", text)
        take(client, lease)
    # The worker itself had lost a process, and was killed before it put the message back.
    (held,) = look_up(client, lease.holder, [json.loads(texts[0])["properties"]["delivery_tag"]])
    count_loss(client, json.loads(texts[0]), held.delivery)
    with killed_after(client, commands):
        recovery.recover(client, lease.holder, LEASE_SECONDS, at_once=True)
    for holder in holder_names(client):
        recovery.recover(client, holder, LEASE_SECONDS, at_once=True)
    back = [json.loads(one)["headers"]["id"] for one in reversed(client.lrange("celery", 0, -1))]
    assert back == [json.loads(text)["headers"]["id"] for text in (texts[0], *texts[2:])]
    losses = [history_of(client, json.loads(text)).get("deliveries", 0) for text in texts]
    assert losses == [1, 3, 0, 0]
    assert client.hkeys(QUARANTINE) == [poison["properties"]["delivery_tag"].encode()]
    assert not client.exists(HOLDERS, UNACKED, UNACKED_INDEX)
    assert not client.keys("ibutsu-tasks:held:*") + client.keys("ibutsu-tasks:slots:*")


def test_the_third_loss_sends_a_message_to_quarantine(
    client: Redis, lease: Lease, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.handler.setFormatter(JsonFormatter(str, "worker"))
    task_id, text = message_text("runs.update_run", '"a-run"')
    tag = json.loads(text)["properties"]["delivery_tag"]
    for number in range(2):
        count_loss(client, json.loads(text), str(number))
    client.lpush("celery", text)
    take(client, lease)
    assert recovery.recover(client, lease.holder, LEASE_SECONDS, at_once=True) == 1
    entry = json.loads(client.hget(QUARANTINE, tag) or "")
    assert (entry["queue"], entry["reason"]) == (
        "celery",
        "lost three times, last by the end of its whole worker",
    )
    assert not client.exists("celery", UNACKED)
    told = next(
        entry
        for line in caplog.text.splitlines()
        if "was set aside" in (entry := json.loads(line))["message"]
    )
    assert (told["task"], told["task_id"], told["run_id"]) == (UPDATE_RUN, task_id, "a-run")
