"""`worker`, `beat` and `flower` as a container would run them: in the foreground, ended by signals."""

from __future__ import annotations

import base64
import json
import signal
import socket
import sys
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import psutil
import pytest
from kombu import Producer
from sqlalchemy import text

from ibutsu_tasks.beat.state import read_last_run
from ibutsu_tasks.broker.connection import build_client
from ibutsu_tasks.broker.layout import BEAT_LAST_RUNS_KEY, BEAT_LEADER_KEY
from ibutsu_tasks.celery_app import create_broker_celery_app, create_celery_app
from ibutsu_tasks.ibutsu.schedule import SCHEDULE
from ibutsu_tasks.settings import load_settings
from tests.commands import CELERY, Running, role, run, services, until
from tests.factories import make_result, make_run

if TYPE_CHECKING:
    from pathlib import Path

    from celery.result import AsyncResult
    from sqlalchemy import Engine
    from sqlalchemy.orm import Session

    from ibutsu_tasks.resources import Resources
    from ibutsu_tasks.settings import Settings

UPDATE_RUN = "ibutsu_server.tasks.runs.update_run"
READY = "ready."

AS_FIRST_PROCESS = """
import os, sys
from ibutsu_tasks import __main__ as program
program.FIRST_PROCESS, sys.argv = os.getpid(), ["ibutsu-tasks", "worker"]
program.main()
"""


@pytest.fixture
def env(broker_url: str, database_url: str) -> dict[str, str]:
    return services(broker_url, database_url)


def send(settings: Settings, *args: object, queue: str = "celery") -> AsyncResult[object]:
    return create_celery_app(settings=settings).send_task(UPDATE_RUN, args, queue=queue)


def is_waiting_for_a_lock(engine: Engine) -> bool:
    waiting = text("select count(*) from pg_stat_activity where wait_event_type = 'Lock'")
    with engine.connect() as observer:
        return bool(observer.scalar(waiting))


def test_sigterm_lets_the_running_task_finish(
    env: dict[str, str], settings: Settings, session: Session, engine: Engine
) -> None:
    run_row = make_run(session)
    make_result(session, run_row)
    session.commit()
    with role("worker", "--queues", "slow", env=env) as worker:
        worker.wait_for(READY)
        with engine.connect() as holder:
            # The task waits for this row, so it is running when the signal comes.
            holder.execute(text("select 1 from runs where id = :id for update"), {"id": run_row.id})
            send(settings, str(run_row.id))
            until(lambda: is_waiting_for_a_lock(engine))
            assert is_waiting_for_a_lock(engine)
            worker.process.send_signal(signal.SIGTERM)
            worker.wait_for("Warm shutdown")
            assert worker.process.poll() is None
        assert worker.stop() == 0
        assert "succeeded" in worker.output
    session.refresh(run_row)
    assert run_row.summary is not None
    assert run_row.summary["tests"] == 1


def test_sigterm_while_a_task_is_handed_out_has_it_done(
    env: dict[str, str], settings: Settings, resources: Resources
) -> None:
    with role("worker", "--concurrency", "1", env=env) as worker:
        worker.wait_for(READY)
        (child,) = psutil.Process(worker.process.pid).children()
        child.suspend()
        task_id = send(settings, "no-such-run").id
        worker.wait_for("received")
        time.sleep(0.5)  # in which it is handed out, and nothing tells when it was
        worker.process.send_signal(signal.SIGTERM)
        worker.wait_for("Warm shutdown")
        time.sleep(1)  # in which it stops listening, and nothing tells when it has
        child.resume()
        # The process would wait for 30 s.
        assert worker.stop(timeout_seconds=20) == 0
        assert f"[{task_id}] succeeded" in worker.output
    assert not resources.redis.exists("celery", "unacked")


def test_an_empty_password_of_flower_is_none(broker_url: str) -> None:
    port = free_port()
    env = {"CELERY_BROKER_URL": broker_url, "FLOWER_BASIC_AUTH": "", "FLOWER_PORT": str(port)}
    with role("flower", env=env) as flower:
        flower.wait_for("Visit me at")
        until(lambda: status_of(f"http://127.0.0.1:{port}/healthcheck") == 200)
        assert status_of(f"http://127.0.0.1:{port}/") == 200


def test_options_after_the_dashes_and_the_environment_reach_celery(env: dict[str, str]) -> None:
    words = ("--", "--hostname", "named@here", "--without-mingle")
    with role("worker", *words, env=env | {"CELERY_WORKER_CONCURRENCY": "3"}) as worker:
        worker.wait_for("named@here ready")
        assert "concurrency: 3" in worker.output
    wrong = run("worker", "--", "--no-such-option", env=env)
    assert wrong.returncode == 2
    assert "--no-such-option" in wrong.stderr
    assert "Traceback" not in wrong.stderr


def test_sigterm_while_task_packages_are_loaded_ends_the_first_process_of_a_container(
    env: dict[str, str], tmp_path: Path
) -> None:
    """It is no fault of the package, which a worker might go on without."""
    (tmp_path / "slow_package.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGTERM)\n")
    own = {"IBUTSU_TASKS_PACKAGES": "slow_package", "IBUTSU_TASKS_BROKEN_PACKAGES": "warn"}
    with Running(
        sys.executable, "-c", AS_FIRST_PROCESS, env=env | own | {"PYTHONPATH": str(tmp_path)}
    ) as worker:
        assert worker.process.wait(60) == 143
    assert "cannot be" not in "".join(worker.lines)


def test_celerys_own_command_line_runs_the_same_worker(
    env: dict[str, str], settings: Settings, tmp_path: Path
) -> None:
    with Running(CELERY, "-A", "ibutsu_tasks:worker_app", "worker", env=env, cwd=tmp_path) as worker:
        worker.wait_for(READY)
        assert send(settings, "no-such-run").get(timeout=120) is None
        assert worker.stop() == 0
    assert "ibutsu_server_worker" in worker.output


def test_a_worker_without_settings_says_what_to_set() -> None:
    done = run("worker")
    assert done.returncode == 3
    assert "CELERY_BROKER_URL and POSTGRESQL_HOST" in done.stderr
    assert done.stdout == ""


def test_a_worker_of_threads_is_refused() -> None:
    env = services("redis://127.0.0.1:1/0", "postgresql://nobody@127.0.0.1:1/nothing")
    refused = run("worker", "--", "--pool", "threads", env=env, timeout_seconds=30)
    assert refused.returncode == 2
    assert "The pool celery.concurrency.thread does not work here" in " ".join(refused.stderr.split())
    assert "Traceback" not in refused.stderr


def test_of_two_beats_one_leads_and_the_other_takes_over(env: dict[str, str], resources: Resources) -> None:
    with role("beat", env=env) as first:
        first.wait_for("this beat leads now")
        with role("beat", env=env) as second:
            second.wait_for("beat: Starting")
            time.sleep(1.5)
            assert "leads now" not in second.output
            first.process.kill()
            second.wait_for("this beat leads now")
            until(
                lambda: (
                    json.loads(resources.redis.get(BEAT_LEADER_KEY) or b"{}").get("pid") == second.process.pid
                )
            )
            assert second.stop() == 0
    assert resources.redis.get(BEAT_LEADER_KEY) is None


def test_a_run_missed_while_no_beat_was_up_is_caught_up_once(
    env: dict[str, str], resources: Resources
) -> None:
    now = datetime.now(UTC)
    for row in SCHEDULE:
        last = now - timedelta(days=2) if row.name == "prune-old-import-files" else now
        resources.redis.hset(BEAT_LAST_RUNS_KEY, row.name, last.isoformat())
    with role("beat", env=env) as beat:
        beat.wait_for("sending prune-old-import-files")
        entry = "prune-old-import-files"
        until(lambda: (resources.redis.hget(BEAT_LAST_RUNS_KEY, entry) or b"") > now.isoformat().encode())
        assert beat.stop() == 0
    message = json.loads(resources.redis.lpop("celery") or b"{}")
    assert message["headers"]["task"] == "ibutsu_server.tasks.db.prune_old_import_files"
    assert json.loads(base64.b64decode(message["body"]))[0] == [7]
    with role("beat", env=env) as again:
        again.wait_for("this beat leads now")
        time.sleep(1)
        assert "sending" not in again.output


GARBLED = [b"", b"soon", b"\xff\xfe", b"2026-13-45", b"NaN", b"1" * 5000, b"0001-01-01T00:00:00-14:00"]


@pytest.mark.parametrize("written", [*GARBLED, b"9999-12-31T23:59:59+00:00", b"2020-01-01"])
def test_when_an_entry_last_ran_may_be_garbled(written: bytes) -> None:
    now = datetime.now(UTC)
    moment = read_last_run(written, now)
    # Naive ones cannot be compared, and one to come would keep the entry from ever being sent.
    assert moment is None or (moment.tzinfo is UTC and now - timedelta(days=366) <= moment <= now)


def test_beat_leads_whatever_stands_in_redis(env: dict[str, str], resources: Resources) -> None:
    for row, written in zip(SCHEDULE, GARBLED, strict=False):
        resources.redis.hset(BEAT_LAST_RUNS_KEY, row.name, written)
    resources.redis.hset(BEAT_LAST_RUNS_KEY, b"\xff", b"\xff")
    resources.redis.lpush(BEAT_LEADER_KEY, b"no string")
    with role("beat", env=env) as beat:
        beat.wait_for("this beat leads now")
        until(lambda: resources.redis.type(BEAT_LEADER_KEY) == b"string")
        assert run("doctor", "--only", "beat", env=env).returncode == 0
        assert beat.stop() == 0
    assert "Traceback" not in beat.output


def status_of(url: str, credentials: str = "", host: str = "") -> int:
    request = urllib.request.Request(url)  # noqa: S310 - the page this test started
    if host:
        request.add_header("Host", host)
    if credentials:
        request.add_header("Authorization", f"Basic {base64.b64encode(credentials.encode()).decode()}")
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_flower_needs_no_database_and_guards_every_page(broker_url: str) -> None:
    port = free_port()
    env = {"CELERY_BROKER_URL": broker_url, "FLOWER_BASIC_AUTH": "operator:s3cret"}
    with role("flower", "--port", str(port), env=env) as flower:
        flower.wait_for("Visit me at")
        base = f"http://127.0.0.1:{port}"
        until(lambda: status_of(f"{base}/healthcheck") == 200)
        for page in ("/", "/tasks", "/metrics", "/api/tasks"):
            assert status_of(base + page) == 401
            assert status_of(base + page, "operator:s3cret") == 200
        assert flower.stop() == 0
    assert "s3cret" not in flower.output


def test_celerys_own_flower_is_as_guarded(broker_url: str, tmp_path: Path) -> None:
    port = free_port()
    command = (CELERY, "-A", "ibutsu_tasks:flower_app", "flower", f"--port={port}")
    env = {"CELERY_BROKER_URL": broker_url}
    with Running(*command, "--address=0.0.0.0", env=env, cwd=tmp_path) as flower:
        flower.wait_for("FLOWER_BASIC_AUTH is not set")
    with Running(*command, env=env | {"FLOWER_BASIC_AUTH": "a:b"}, cwd=tmp_path) as flower:
        flower.wait_for("Visit me at")
        until(lambda: status_of(f"http://127.0.0.1:{port}/healthcheck") == 200)
        assert status_of(f"http://127.0.0.1:{port}/metrics") == 401


@pytest.mark.parametrize("password", ["", "operator:s3cret"])
def test_without_a_password_flower_answers_to_its_machines_names_alone(
    broker_url: str, password: str
) -> None:
    port = free_port()
    env = {"CELERY_BROKER_URL": broker_url, "FLOWER_ADDRESS": "127.0.0.2"}
    env |= {"FLOWER_BASIC_AUTH": password} if password else {}
    with role("flower", "--port", str(port), env=env) as flower:
        flower.wait_for("Visit me at")
        base = f"http://127.0.0.2:{port}"
        until(lambda: status_of(f"{base}/healthcheck") == 200)
        for host in ("localhost", f"LOCALHOST:{port}", "127.0.0.1:1", f"[::1]:{port}", "[::1]", "127.0.0.2"):
            assert status_of(base, password, host) == 200, host
        for host in ("evil.example", f"127.0.0.1.evil.example:{port}", "localhost.evil.example", "127.0.0.3"):
            for page in ("/", "/tasks", "/api/tasks", "/metrics", "/healthcheck", "/static/js/flower.js"):
                # Behind a password a proxy may give it any name.
                assert (status_of(base + page, password, host) == 403) == (not password), (host, page)
        assert flower.stop() == 0


def test_flowers_pages_live_through_garbled_events(broker_url: str) -> None:
    port, now = free_port(), time.time()
    good = {"type": "worker-heartbeat", "hostname": "good@host", "timestamp": now, "clock": 1, "utcoffset": 0}
    good |= {"pid": 1, "freq": 2.0, "active": 0, "processed": 3, "loadavg": [0.1, 0.2, 0.3]}
    odd = ("x", None, [], {}, True, float("nan"), float("inf"), 10**400, -1e300)
    bad = [good | {"hostname": "bad@host", name: value} for name in good for value in odd]
    bad += [{"type": "task-received", "uuid": "u", "hostname": "h", "timestamp": value} for value in odd]
    bad += [good | {"hostname": "bad@host", name: 1} for name in ("heartbeats", "event", "alive", "id")]
    with role("flower", "--port", str(port), env={"CELERY_BROKER_URL": broker_url}) as flower:
        flower.wait_for("Visit me at")
        base = f"http://127.0.0.1:{port}"
        until(lambda: status_of(f"{base}/healthcheck") == 200)
        with build_client(broker_url) as client:
            until(client.pubsub_numpat)
        app = create_broker_celery_app(settings=load_settings({"broker_url": broker_url}, environ={}))
        with app.connection_for_write() as connection:
            events = Producer(connection, app.events.Receiver(connection).exchange)
            for event in [*bad, ["no", {}], 7, good]:
                events.publish(event, routing_key="worker.heartbeat", serializer="json")
        until(lambda: "good@host" in page_at(f"{base}/"), 20)
        assert "good@host" in page_at(f"{base}/"), flower.output
        for page in ("/", "/workers?json=1", "/tasks", "/worker/bad@host", "/metrics"):
            assert status_of(base + page) in {200, 404}, page
        assert flower.stop() == 0
    assert "Traceback" not in flower.output


def page_at(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - the page this test started
        return str(answer.read(), "utf-8")


def test_flower_says_that_its_port_is_taken(broker_url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run("flower", "--port", str(port), env={"CELERY_BROKER_URL": broker_url})
    assert done.returncode == 1
    assert f"cannot listen on 127.0.0.1 port {port}" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [["--address", "0.0.0.0"], ["--address", ""], ["--", "--address=0.0.0.0"]],  # noqa: S104
)
def test_flower_refuses_to_be_open_to_others(broker_url: str, arguments: list[str]) -> None:
    done = run("flower", *arguments, env={"CELERY_BROKER_URL": broker_url})
    assert done.returncode in {1, 3}
    assert "FLOWER_BASIC_AUTH is not set" in done.stderr
    assert "Traceback" not in done.stderr
