"""`drain`: a worker takes no more, ends what it has, and is there until it is told to end."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
from sqlalchemy import select

from ibutsu_tasks.broker.connection import build_client
from ibutsu_tasks.health.heartbeat import VARIABLE, Heartbeat, host_name, private_directory, read_all, write
from ibutsu_tasks.ibutsu.database.models import Import
from tests.commands import role, run, run_here, services, until
from tests.doors import dead_port
from tests.held_imports import held_artifacts
from tests.worker_system import message_text

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from sqlalchemy.orm import Session

REPORT = str(Path(__file__).parents[2] / "examples" / "results" / "pytest-junit.xml")
MISSING_RUN = '"00000000-0000-4000-8000-000000000000"'


@pytest.fixture
def env(broker_url: str, database_url: str, tmp_path: Path) -> dict[str, str]:
    return services(broker_url, database_url) | {VARIABLE: str(tmp_path)}


def heartbeat_in(directory: Path) -> Heartbeat:
    (found,) = read_all(private_directory(directory))
    return found


def test_what_a_worker_has_ends_and_what_waits_is_left_to_others(
    env: dict[str, str], broker_url: str, engine: Engine, session: Session, tmp_path: Path
) -> None:
    words = ("--queues", "slow", "--prefetch-multiplier", "2", "--hostname", "drained@here")
    nobody = run("drain", env=env)
    assert (nobody.returncode, "No worker runs on this host" in nobody.stderr) == (1, True)
    with role("worker", *words, env=env) as worker, build_client(broker_url) as client:
        worker.wait_for("ready.")
        other = run("drain", "--node", "other@here", env=env)
        assert (other.returncode, "No worker other@here runs" in other.stderr) == (1, True)
        away = run("drain", env=env | {"CELERY_BROKER_URL": f"redis://127.0.0.1:{dead_port()}/0"})
        assert (away.returncode, "Traceback" in away.stderr) == (4, False)
        (child,) = psutil.Process(worker.process.pid).children()
        with held_artifacts(engine) as is_held:
            assert run("import", "--no-wait", REPORT, env=env).returncode == 0
            until(is_held)
            # A task that waits for a lock for long is tried again later, by whoever consumes then.
            child.suspend()
        for _ in range(2):
            client.lpush("celery", message_text("runs.update_run", MISSING_RUN)[1])
        until(lambda: client.llen("celery") == 1)
        with role("drain", env=env) as draining:
            until(lambda: not heartbeat_in(tmp_path).queues)
            late = run("drain", "--node", "drained@here", "--timeout", "0", env=env)
            assert (late.returncode, late.stdout) == (124, "")
            assert "drained@here has 2 tasks" in late.stderr
            assert run_here("probe", "live", env=env).returncode == 0
            assert "it consumes no queue" in run_here("probe", "ready", env=env).stdout
            assert draining.process.poll() is None
            child.resume()
            assert draining.process.wait(120) == 0
        assert draining.output == "Drained: drained@here."
        assert session.scalar(select(Import.status)) == "done"
        until(lambda: worker.output.count("succeeded") == 2)
        assert worker.output.count("succeeded") == 2

        # It stays drained when its connections break.
        client.client_kill_filter(_type="normal", skipme=True)
        worker.wait_for("the broker is back")
        until(lambda: heartbeat_in(tmp_path).is_connected)
        assert run("drain", "--json", env=env).returncode == 0
        assert client.llen("celery") == 1
        assert worker.stop() == 0
        assert client.llen("celery") == 1


def test_a_worker_whose_loop_hangs_is_named(env: dict[str, str], tmp_path: Path) -> None:
    now = time.monotonic()
    hung = Heartbeat("worker", "w@here", host_name(), os.getpid(), "then", "now", now, now - 600)
    write(hung._replace(is_connected=True, queues=("celery",)), private_directory(tmp_path))
    done = run_here("drain", "--timeout", "0", env=env)
    assert done.returncode == 124
    assert "its loop has stood still for 60" in done.stderr
    assert "Try: Kill what is not live" in done.stderr
