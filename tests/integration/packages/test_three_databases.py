"""Broker, results and cache in three databases of one Redis: every command reads the right one."""

from __future__ import annotations

import json
from contextlib import ExitStack

from ibutsu_tasks.broker.connection import build_client
from tests.commands import role, run, run_here, services, until
from tests.packaged import WORKSHOP


def test_every_command_reads_the_right_database(broker_url: str, database_url: str) -> None:
    urls = [broker_url.replace("virtual_host=0", f"virtual_host={number}") for number in (1, 2, 3)]
    env = services(urls[0], database_url) | WORKSHOP
    env |= {"CELERY_RESULT_BACKEND": urls[1], "IBUTSU_TASKS_CACHE_URL": urls[2]}
    with ExitStack() as stack:
        first, broker, results, cache = (
            stack.enter_context(build_client(url)) for url in (broker_url, *urls)
        )
        # Were a command to read another database, it would find these.
        for client in (first, results, cache):
            client.lpush("work", *["{}"] * 5)
            client.hset("ibutsu-tasks:quarantine", "other", "{}")
        broker.lpush("later", "no message")
        with role("worker", env=env) as worker, role("beat", env=env) as beat:
            worker.wait_for("ready.")
            beat.wait_for("this beat leads now")
            done = run("enqueue", "cached", "key=colour", "value=green", "--wait", "60", env=env)
            assert (done.returncode, done.stdout) == (0, "null\n"), done.stderr
            until(lambda: broker.hlen("ibutsu-tasks:quarantine"))
            report = json.loads(run_here("doctor", "--json", env=env).stdout)["findings"]
            schedule = json.loads(run_here("schedule", "--json", env=env).stdout)
            queues = json.loads(run_here("queues", "--json", env=env).stdout)
            page = run_here("metrics", env=env).stdout
        dead = json.loads(run_here("dead", "list", "--json", env=env).stdout)
        assert cache.get("colour") == b"green"
        assert not any(client.exists("colour") for client in (first, broker, results))
        assert results.keys("celery-task-meta-*")
        assert not any(client.keys("celery-task-meta-*") for client in (first, broker, cache))
        assert [client.llen("work") for client in (first, results, cache)] == [5, 5, 5]
    codes = [one["code"] for one in report]
    assert {"IBT-W00", "IBT-T00", "IBT-H00"} <= set(codes), report
    assert codes.count("IBT-R00") == 2
    assert schedule["leader"]
    assert [one["id"] == "other" for one in dead["dead"]] == [False], dead
    assert [one["waiting"] for one in queues["queues"] if one["queue"] == "work"] == [0], queues
    assert "ibutsu_tasks_quarantined_messages 1.0" in page, page


def test_a_cache_that_is_away_is_named_by_the_doctor(broker_url: str) -> None:
    env = {"CELERY_BROKER_URL": broker_url, "IBUTSU_TASKS_CACHE_URL": "redis://127.0.0.1:1/2"}
    found = json.loads(run_here("doctor", "--only", "backend", "--json", env=env).stdout)["findings"]
    assert [one["code"] for one in found] == ["IBT-R00", "IBT-R01"]
    assert "IBUTSU_TASKS_CACHE_URL" in found[1]["hint"]
