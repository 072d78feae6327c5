"""`probe` and the health port, asked of real processes while their broker comes and goes."""

from __future__ import annotations

import json
import re
import signal
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
from sqlalchemy import text

from ibutsu_tasks.broker.connection import build_client
from ibutsu_tasks.health.heartbeat import private_directory
from ibutsu_tasks.health.probe import ask
from tests.commands import role, run, services, until
from tests.doors import dead_port, own_valkey, page
from tests.factories import make_run
from tests.worker_system import message_text

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from sqlalchemy.orm import Session

READY = "ready."
MISSING_RUN = '"00000000-0000-4000-8000-000000000000"'


@pytest.fixture
def env(broker_url: str, database_url: str, tmp_path: Path) -> dict[str, str]:
    return services(broker_url, database_url) | {"IBUTSU_TASKS_SCRATCH_DIR": str(tmp_path)}


def holds(question: str, env: dict[str, str], *options: str) -> bool:
    return run("probe", question, *options, env=env).returncode == 0


def health_port(env: dict[str, str]) -> int:
    port = dead_port()
    env |= {"IBUTSU_TASKS_HEALTH_PORT": str(port), "IBUTSU_TASKS_HEALTH_ADDRESS": "127.0.0.1"}
    return port


def heartbeat_of(directory: Path) -> dict[str, object]:
    (path,) = Path(private_directory(directory)).glob("*.json")
    return dict(json.loads(path.read_text(encoding="utf-8")))


def test_a_worker_is_live_before_it_is_ready_and_gone_at_its_end(env: dict[str, str], tmp_path: Path) -> None:
    assert "no heartbeat" in run("probe", "live", env=env).stdout
    with role("worker", "--hostname", "probed@here", env=env) as worker:
        worker.wait_for(READY)
        until(lambda: holds("startup", env))
        done = run("probe", "ready", "--role", "worker", "--node", "probed@here", env=env)
        assert (done.returncode, done.stdout) == (
            0,
            f"worker probed@here (process {worker.process.pid}) is ready.\n",
        )
        assert holds("live", env)
        assert run("probe", "ready", "--role", "beat", env=env).returncode == 1
        beat = heartbeat_of(tmp_path)
        assert (beat["is_connected"], beat["queues"], beat["running"]) == (
            True,
            ["celery", "ibutsu-tasks"],
            0,
        )
        assert (Path(private_directory(tmp_path)).stat().st_mode & 0o777) == 0o700
        assert worker.stop() == 0
    assert not list(Path(private_directory(tmp_path)).iterdir())


def test_what_is_answered_at_once_is_what_the_command_line_answers(
    env: dict[str, str], tmp_path: Path
) -> None:
    with role("flower", "--port", str(dead_port()), env=env) as flower:
        until(lambda: holds("ready", env))
        quick = run("probe", "ready", env=env)
        (tmp_path / ".env").write_text("", encoding="utf-8")
        slow = run("probe", "ready", env=env, cwd=tmp_path)
        assert (quick.returncode, quick.stdout) == (slow.returncode, slow.stdout) != (1, "")
        document = json.loads(run("probe", "ready", "--json", env=env).stdout)
        assert document["answers"] == [{"holds": True, "sentence": quick.stdout.strip()}]
        flower.process.kill()
        flower.process.wait(30)
        gone = run("probe", "live", env=env)
        assert (gone.returncode, "is gone" in gone.stdout) == (1, True)


def test_a_scratch_directory_named_in_a_dotenv_is_found(env: dict[str, str], tmp_path: Path) -> None:
    own = {name: value for name, value in env.items() if name != "IBUTSU_TASKS_SCRATCH_DIR"}
    (tmp_path / ".env").write_text(f"IBUTSU_TASKS_SCRATCH_DIR={tmp_path}\n", encoding="utf-8")
    with role("beat", env=own, cwd=tmp_path) as beat:
        until(lambda: run("probe", "ready", env=own, cwd=tmp_path).returncode == 0)
        assert f"process {beat.process.pid}" in run("probe", "ready", env=own, cwd=tmp_path).stdout


@pytest.mark.parametrize("name", ["worker", "beat", "flower"])
def test_every_role_serves_the_health_port(env: dict[str, str], name: str) -> None:
    port = health_port(env)
    arguments = ("--port", str(dead_port())) if name == "flower" else ()
    with role(name, *arguments, env=env) as running:
        until(lambda: page(port, "/startupz")[0] == 200)
        for path in ("/livez", "/readyz", "/startupz"):
            status, said = page(port, path)
            assert (status, said.partition(" ")[0]) == (200, name), said
        status, said = page(port, "/metrics")
        assert status == 200
        assert re.search(rf'^ibutsu_tasks_ready{{node="[^"]+",role="{name}"}} 1.0$', said, re.MULTILINE)
        assert page(port, "/elsewhere")[0] == 404
        assert running.stop() == 0
    assert page(port, "/livez")[0] == 0


def test_metrics_count_tasks_by_name_and_outcome(env: dict[str, str], broker_url: str) -> None:
    port = health_port(env)
    with role("worker", env=env) as worker, build_client(broker_url) as client:
        worker.wait_for(READY)
        client.lpush("celery", message_text("runs.update_run", MISSING_RUN)[1])
        client.lpush("celery", message_text("runs.update_run", '"no id"', '"and too many"')[1])
        counted = (
            'ibutsu_tasks_finished_tasks_total{outcome="%s",task="ibutsu_server.tasks.runs.update_run"} 1.0'
        )
        until(lambda: all(counted % one in page(port, "/metrics")[1] for one in ("succeeded", "failed")))
        said = page(port, "/metrics")[1]
        assert counted % "succeeded" in said
        assert counted % "failed" in said


def test_a_taken_health_port_is_said_in_one_sentence(env: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        env["IBUTSU_TASKS_HEALTH_ADDRESS"] = "127.0.0.1"
        port = str(taken.getsockname()[1])
        for name in ("worker", "beat", "flower"):
            done = run(name, "--health-port", port, env=env)
            assert (done.returncode, f"health port {port} cannot be opened" in done.stderr) == (3, True)
            assert "Traceback" not in done.stderr


def test_the_processes_of_the_pool_do_not_hold_the_health_port(env: dict[str, str]) -> None:
    port = health_port(env)
    with role("worker", "--concurrency", "2", env=env) as worker:
        worker.wait_for(READY)
        until(lambda: page(port, "/readyz")[0] == 200)
        for child in psutil.Process(worker.process.pid).children(recursive=True):
            held = [
                one.laddr.port for one in child.net_connections("tcp") if one.status == psutil.CONN_LISTEN
            ]
            assert port not in held
        assert worker.stop() == 0


def test_callers_who_never_finish_keep_nobody_from_the_health_port(env: dict[str, str]) -> None:
    port = health_port(env)
    with role("worker", env=env) as worker:
        worker.wait_for(READY)
        slow = [socket.create_connection(("127.0.0.1", port)) for _ in range(40)]
        try:
            for one in slow:
                one.sendall(b"GET /livez HT")
            # At once, not when they have been given up: a probe that is hung up on would have it killed.
            assert [page(port, "/livez")[0] for _ in range(3)] == [200] * 3
        finally:
            for one in slow:
                one.close()
        assert worker.stop() == 0


def test_a_broker_outage_leaves_every_role_live_and_none_ready_that_needs_it(
    database_url: str, tmp_path: Path
) -> None:
    port = dead_port()
    broker_url = f"redis://127.0.0.1:{port}/0"
    env = services(broker_url, database_url) | {"IBUTSU_TASKS_SCRATCH_DIR": str(tmp_path)}
    directory = private_directory(tmp_path)
    with role("worker", env=env), role("beat", env=env):
        # They start without a broker.
        until(lambda: len(list(Path(directory).glob("*.json"))) == 2, 60)
        started = time.monotonic()
        # Longer than the limit asked for below, in which a loop that waits without a tick would be found.
        until(lambda: time.monotonic() - started > 8)
        for name in ("worker", "beat"):
            (answer,) = ask("live", directory, name, limit_seconds=6)
            assert answer.holds, answer.sentence
        assert not holds("ready", env, "--role", "worker")
        assert not holds("startup", env, "--role", "worker")
        with own_valkey(port=port):
            until(lambda: holds("ready", env))
            assert holds("ready", env)
            assert holds("startup", env)
        until(lambda: not holds("ready", env, "--role", "worker"))
        until(lambda: not holds("ready", env, "--role", "beat"))
        said = run("probe", "ready", env=env).stdout
        assert "worker" in said
        assert "beat" in said
        # What was ready once has started.
        assert holds("startup", env)
        assert holds("live", env)


@pytest.mark.soak
def test_a_worker_that_is_stopped_fails_live_and_one_busy_in_its_only_thread_does_not(
    env: dict[str, str], broker_url: str, engine: Engine, session: Session, tmp_path: Path
) -> None:
    directory = private_directory(tmp_path)
    run_row = make_run(session)
    session.commit()
    with role("worker", "--", "--pool", "solo", env=env) as worker, build_client(broker_url) as client:
        worker.wait_for(READY)
        with engine.connect() as holder:
            # The task waits for this row.
            holder.execute(text("select 1 from runs where id = :id for update"), {"id": run_row.id})
            client.lpush("celery", message_text("runs.update_run", f'"{run_row.id}"')[1])
            until(lambda: heartbeat_of(tmp_path)["busy"])
            stands_since = heartbeat_of(tmp_path)["ticked"]
            until(lambda: time.monotonic() > float(str(stands_since)) + 12)
            (answer,) = ask("live", directory, limit_seconds=10)
            assert answer.holds
            assert "a task runs" in answer.sentence
            assert heartbeat_of(tmp_path)["ticked"] == stands_since
            worker.process.send_signal(signal.SIGSTOP)
            until(lambda: not ask("live", directory, limit_seconds=10)[0].holds, 60)
            assert "stood still" in ask("live", directory, limit_seconds=10)[0].sentence
            worker.process.send_signal(signal.SIGCONT)
            until(lambda: ask("live", directory, limit_seconds=10)[0].holds, 60)
            assert ask("live", directory, limit_seconds=10)[0].holds
        until(lambda: holds("live", env) and not heartbeat_of(tmp_path)["busy"])
        assert worker.stop() == 0


@pytest.mark.parametrize(
    "name", ["worker", *(pytest.param(one, marks=pytest.mark.soak) for one in ("beat", "flower"))]
)
def test_a_process_that_is_stopped_fails_live(env: dict[str, str], tmp_path: Path, name: str) -> None:
    arguments = ("--port", str(dead_port())) if name == "flower" else ()
    directory = private_directory(tmp_path)
    with role(name, *arguments, env=env) as running:
        until(lambda: holds("ready", env))
        running.process.send_signal(signal.SIGSTOP)
        until(lambda: not ask("live", directory, limit_seconds=8)[0].holds, 60)
        assert not ask("live", directory, limit_seconds=8)[0].holds
        running.process.send_signal(signal.SIGCONT)
        until(lambda: ask("live", directory, limit_seconds=8)[0].holds, 60)
        assert holds("ready", env)
