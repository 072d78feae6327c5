"""Keys of another type than Celery's or ours: no command and no role ends at one, and `doctor` names it."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from ibutsu_tasks.broker.failures import MOVE_EACH
from ibutsu_tasks.broker.garbled import HASH, LIST, SET, SORTED_SET, STRING, TYPES, GarbledKey, find_garbled
from ibutsu_tasks.broker.layout import (
    BINDING_PREFIX,
    HELD_PREFIX,
    HOLDERS,
    QUARANTINE,
    UNWRITTEN,
    redis_lists,
)
from ibutsu_tasks.delivery.dead.quarantine import read_set_aside
from ibutsu_tasks.text.control_characters import visible
from tests.commands import role, run, run_here, services, until

if TYPE_CHECKING:
    from pathlib import Path

    from redis import Redis

    from ibutsu_tasks.resources import Resources

KEYS = {**TYPES, **dict.fromkeys(redis_lists("celery"), LIST), f"{BINDING_PREFIX}celery": SET}
LOOKS = (
    "queues",
    "enqueue sync_aborted_runs",
    "dead list",
    "dead retry --all",
    "dead drop --all --yes",
    "schedule list",
    "prune all --history",
)
FORMS = {
    STRING: lambda client, key: client.set(key, b"\xff garbage"),
    LIST: lambda client, key: client.rpush(key, b"\xff", "[]", '{"a": 1}'),
    HASH: lambda client, key: client.hset(key, mapping={b"\xff": b"\xff", "a": "[]", "b": '{"at": 1}'}),
    SET: lambda client, key: client.sadd(key, b"\xff"),
    SORTED_SET: lambda client, key: client.zadd(key, {b"\xff": 9e300}),
}


@pytest.fixture
def env(broker_url: str, database_url: str) -> dict[str, str]:
    return services(broker_url, database_url)


def garble(client: Redis, form: str) -> list[str]:
    """Write every key that is of another type in this form; give their names."""
    keys = [key for key, wanted in KEYS.items() if wanted != form]
    for key in keys:
        FORMS[form](client, key)
    return keys


@pytest.mark.parametrize("form", FORMS)
def test_no_command_ends_at_a_garbled_key(form: str, env: dict[str, str], resources: Resources) -> None:
    client = resources.redis
    for key, wanted in KEYS.items():
        client.flushall()
        FORMS[form](client, key)
        for words in LOOKS:
            done = run_here(*words.split(), "--json", env=env)
            document = json.loads(done.stdout)
            assert done.returncode in {0, 1, 4}
            if done.returncode == 4:
                garbled = GarbledKey(key, form, wanted)
                assert document["error"].endswith(f" did not work: {visible(str(garbled))}")
                assert document["hint"] == garbled.remedy(0)


def test_several_keys_are_named_together(env: dict[str, str], resources: Resources) -> None:
    for key in (QUARANTINE, f"{BINDING_PREFIX}celery"):
        resources.redis.set(key, "garbage")
    document = json.loads(run_here("dead", "list", "--json", env=env).stdout)
    assert f"{QUARANTINE} is a string" in document["error"]
    assert f"{BINDING_PREFIX}celery is a string" in document["error"]
    assert document["hint"] == MOVE_EACH


def test_the_next_step_can_be_pasted_into_a_shell() -> None:
    assert GarbledKey("a", STRING, LIST).remedy(3) == (
        "Move it out of the way: `redis-cli -n 3 RENAMENX a a:garbled`."
    )
    shown = GarbledKey("a\x06\x163", STRING, LIST).remedy(0)
    assert shown.endswith(r"RENAMENX $'a\x06\x163' $'a\x06\x163:garbled'`.")


@pytest.mark.parametrize("form", FORMS)
def test_the_doctor_names_each(form: str, env: dict[str, str], resources: Resources) -> None:
    keys = garble(resources.redis, form)
    done = run_here("doctor", "--json", env=env)
    findings = json.loads(done.stdout)["findings"]
    assert done.returncode in {1, 4}
    named = [one["seen"] for one in findings if one["code"] == "IBT-B31"]
    assert len(named) == len(keys)
    for key in keys:
        assert any(f" {visible(key)} is a {form}, " in sentence for sentence in named)
    assert not any(one["code"].endswith("99") for one in findings)


def test_a_garbled_key_hides_nothing_else(env: dict[str, str], resources: Resources) -> None:
    resources.redis.set(UNWRITTEN, "garbage")
    resources.redis.hset(QUARANTINE, "a", "{}")
    done = run_here("doctor", "--only", "broker", env=env)
    assert "IBT-B31" in done.stdout
    assert "IBT-B30" in done.stdout


def test_the_doctor_reads_what_is_held_among_other_things(env: dict[str, str], resources: Resources) -> None:
    client = resources.redis
    client.zadd(HOLDERS, {"celery@a:1": 1, b"\xff": 1})
    client.hset(f"{HELD_PREFIX}celery@a:1", mapping={"a": "", b"\xff": b"\xff", "b": "1795747668.0 1 celery"})
    done = run_here("doctor", "--only", "held", env=env)
    assert "3 messages are held by workers that are gone: celery@a (3)" in " ".join(done.stdout.split())
    assert "IBT-H01" in done.stdout


def test_what_is_no_record_can_be_looked_at_and_dropped(env: dict[str, str], resources: Resources) -> None:
    client = resources.redis
    for value in (
        b"\xff",
        b"[]",
        b'{"at": 1}',
        b'{"at": "", "queue": "", "reason": "", "message": 1}',
        b"[" * 9999,
    ):
        client.hset(QUARANTINE, uuid4().bytes + b"\xff", value)
    assert "no record of ours" in run_here("dead", "list", env=env).stdout
    assert run_here("doctor", "--only", "broker", env=env).returncode == 0
    for one in read_set_aside(client):
        assert run_here("dead", "show", one.id, env=env).returncode == 0
    assert len(json.loads(run_here("dead", "retry", "--all", "--json", env=env).stdout)["left"]) == 5
    assert run_here("dead", "drop", "--all", "--yes", env=env).returncode == 0
    assert not client.exists(QUARANTINE)


def test_facts_of_the_wrong_type_are_shown_as_they_are(env: dict[str, str], resources: Resources) -> None:
    entry = {"at": 1, "queue": [], "reason": {}, "id": 5, "memory_at_most_bytes": "x", "deliveries": None}
    resources.redis.hset(QUARANTINE, "abc", json.dumps(entry))
    assert json.loads(run_here("dead", "show", "abc", "--json", env=env).stdout)["id"] == "abc"
    assert run_here("dead", "show", "abc", env=env).returncode == 0
    assert run_here("dead", "list", env=env).returncode == 0


def test_roles_live_on_and_work_once_the_keys_are_gone(
    env: dict[str, str], resources: Resources, tmp_path: Path
) -> None:
    garble(resources.redis, STRING)
    with role("worker", env=env, cwd=tmp_path) as worker, role("beat", env=env, cwd=tmp_path) as beat:
        worker.wait_for("celery@")
        beat.wait_for("beat")
        time.sleep(5)
        assert worker.process.poll() is None, worker.output
        assert beat.process.poll() is None, beat.output
        for garbled in find_garbled(resources.redis, resources.settings.consumed_queues):
            resources.redis.delete(garbled.key)
        done = run("enqueue", "update_run", f"run_id={uuid4()}", "--wait", "100", env=env)
        assert done.returncode == 0, worker.output
        beat.wait_for("this beat leads now")
        assert (worker.stop(), beat.stop()) == (0, 0)
    for text in (worker.output, beat.output):
        assert "Traceback" not in text
    until(lambda: not find_garbled(resources.redis, resources.settings.consumed_queues), 5)
