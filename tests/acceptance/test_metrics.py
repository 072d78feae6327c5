"""`ibutsu-tasks metrics`, asked while workers come and go, and while services do not answer."""

from __future__ import annotations

import json
import signal
import socket
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from ibutsu_tasks.broker.connection import build_client
from ibutsu_tasks.metrics.fleet import Fleet
from tests.commands import Running, role, run, run_here, services, until
from tests.doors import dead_port, dripping, own_valkey, page, silence
from tests.factories import make_import, make_run
from tests.worker_system import message_text

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Engine
    from sqlalchemy.orm import Session

    from ibutsu_tasks.resources import Resources

READY = "ready."
UPDATE_RUN = "ibutsu_server.tasks.runs.update_run"
MISSING_RUN = '"00000000-0000-4000-8000-000000000000"'


@pytest.fixture
def env(broker_url: str, database_url: str, tmp_path: Path) -> dict[str, str]:
    own = {"IBUTSU_TASKS_SCRATCH_DIR": str(tmp_path), "IBUTSU_TASKS_HEALTH_ADDRESS": "127.0.0.1"}
    return services(broker_url, database_url) | own | {"IBUTSU_TASKS_LEASE_SECONDS": "4"}


def values(text: str) -> dict[str, float]:
    lines = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {name.removeprefix("ibutsu_tasks_"): float(value) for name, _, value in lines}


def exporter(env: dict[str, str], stack: ExitStack) -> tuple[int, Running]:
    port = dead_port()
    running = stack.enter_context(role("metrics", "--port", str(port), env=env))
    until(lambda: page(port, "/livez")[0] == 200)
    return port, running


def finished(outcome: str) -> str:
    return f'fleet_finished_tasks_total{{outcome="{outcome}",task="{UPDATE_RUN}"}}'


def test_what_workers_count_stays_when_they_end(env: dict[str, str], broker_url: str) -> None:
    with ExitStack() as stack:
        port, running = exporter(env, stack)
        client = stack.enter_context(build_client(broker_url))
        with role("worker", "--concurrency", "2", env=env) as worker:
            worker.wait_for(READY)
            until(lambda: values(page(port, "/metrics")[1]).get("slots") == 2)
            found = values(page(port, "/metrics")[1])
            assert (found["workers"], found["slots"], found['queue_workers{queue="celery"}']) == (1, 2, 1)
            client.lpush("celery", message_text("runs.update_run", MISSING_RUN)[1])
            until(lambda: values(page(port, "/metrics")[1]).get(finished("succeeded")))
            assert values(page(port, "/metrics")[1])[finished("succeeded")] == 1
            client.lpush("celery", message_text("runs.update_run", '"no id"', '"and too many"')[1])
            until(lambda: not client.llen("celery") and not client.hlen("unacked"))
            # Its next report would be seconds from now.
            assert worker.stop() == 0
        found = values(page(port, "/metrics")[1])
        assert (found["workers"], found["slots"]) == (0, 0)
        assert (found[finished("succeeded")], found[finished("failed")]) == (1, 1)
        assert found[f'fleet_received_tasks_total{{task="{UPDATE_RUN}"}}'] == 2
        assert found[f'fleet_failures_total{{kind="permanent",task="{UPDATE_RUN}"}}'] == 1
        duration = f'fleet_task_duration_seconds_%s{{outcome="succeeded",task="{UPDATE_RUN}"}}'
        assert found[duration % "count"] == 1
        assert 0 < found[duration % "sum"] < 60
        assert page(port, "/readyz") == (200, "metrics is ready.\n")
        assert running.stop() == 0


def test_a_task_that_ends_while_its_worker_ends_is_counted(
    env: dict[str, str], broker_url: str, engine: Engine, session: Session, resources: Resources
) -> None:
    row = make_run(session)
    session.commit()
    fleet = Fleet(resources)
    with role("worker", env=env) as worker, build_client(broker_url) as client:
        worker.wait_for(READY)
        with engine.connect() as holder:
            # The task waits for this row.
            holder.execute(text("select 1 from runs where id = :id for update"), {"id": row.id})
            client.lpush("celery", message_text("runs.update_run", f'"{row.id}"')[1])
            until(lambda: values(fleet.text())["busy_slots"] == 1)
            busy = values(fleet.text())
            assert (busy["busy_slots"], busy["held_messages"], busy["load"]) == (1, 1, 1)
            worker.process.send_signal(signal.SIGTERM)
            worker.wait_for("Warm shutdown")
        assert worker.process.wait(60) == 0
    assert values(fleet.text())[finished("succeeded")] == 1


def test_one_scrape_is_printed_as_text_or_json(env: dict[str, str], session: Session) -> None:
    make_import(session, b"", status="pending")
    session.commit()
    done = run("metrics", env=env)
    assert (done.returncode, done.stderr) == (0, "")
    found = values(done.stdout)
    assert (found['up{service="broker"}'], found['up{service="database"}']) == (1, 1)
    assert (found['imports{status="pending"}'], found['imports{status="done"}']) == (1, 0)
    assert found["database_size_bytes"] > 1_000_000
    document = json.loads(run("metrics", "--json", env=env).stdout)
    named = {one["name"]: one for one in document["metrics"]}
    assert named["ibutsu_tasks_load"]["samples"] == [
        {"name": "ibutsu_tasks_load", "labels": {}, "value": 0.0}
    ]
    assert document["failures"] == {}


def test_without_a_database_the_broker_is_read_alone(env: dict[str, str]) -> None:
    del env["SQLALCHEMY_DATABASE_URI"]
    done = run("metrics", env=env)
    assert done.returncode == 0
    assert "database" not in done.stdout
    assert run("metrics").returncode == 3


@pytest.mark.parametrize("door", [silence, lambda: dripping(b"$5000000\r\n")])
def test_services_that_do_not_answer_hold_no_scrape_up(env: dict[str, str], door: object) -> None:
    with ExitStack() as stack:
        port = stack.enter_context(door())  # type: ignore[operator]
        env["CELERY_BROKER_URL"] = f"redis://:secret-one@127.0.0.1:{port}/0"
        env["SQLALCHEMY_DATABASE_URI"] = f"postgresql://user:secret-two@127.0.0.1:{port}/ibutsu"
        own, running = exporter(env, stack)
        for _ in range(2):
            # It gives up after ten seconds.
            status, said = page(own, "/metrics")
            assert status == 200
            assert values(said) == {'up{service="broker"}': 0, 'up{service="database"}': 0}
        assert page(own, "/readyz")[0] == 503
        assert running.stop() == 0
        assert "numbers of the broker are missing" in running.output
        assert "Traceback" not in running.output
        assert "secret-" not in running.output + said


def test_what_is_back_is_read_again(env: dict[str, str]) -> None:
    door = dead_port()
    env["CELERY_BROKER_URL"] = f"redis://127.0.0.1:{door}/0"
    with ExitStack() as stack:
        port, running = exporter(env, stack)
        found = values(page(port, "/metrics")[1])
        assert (found['up{service="broker"}'], found['up{service="database"}']) == (0, 1)
        assert "load" not in found
        assert 'imports{status="done"}' in found
        with own_valkey(port=door):
            until(lambda: "load" in values(page(port, "/metrics")[1]))
            assert values(page(port, "/metrics")[1])["load"] == 0
        assert values(page(port, "/metrics")[1])['up{service="broker"}'] == 0
        assert running.stop() == 0
        assert running.output.count("numbers of the broker are missing") == 2
        assert running.output.count("numbers of the broker are back") == 1


def test_a_taken_port_is_said_in_one_sentence(env: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run_here("metrics", "--port", str(port), env=env)
    assert done.returncode == 3
    assert f"The port {port} cannot be opened" in done.stderr
    assert "a --port of its own" in done.stderr
