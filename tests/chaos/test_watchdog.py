"""The watchdog ends a worker that consumes nothing, and no other. Its minute is a second here."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from ibutsu_tasks.broker.connection import build_client
from ibutsu_tasks.broker.layout import queue_depth
from ibutsu_tasks.celery_app import create_broker_celery_app
from ibutsu_tasks.cli.exit_codes import ExitCode
from ibutsu_tasks.health import WEDGED
from ibutsu_tasks.settings import load_settings
from tests.chaos.watched_worker import HELD_FOR_LATER, LOOK_SECONDS, PATIENCE_SECONDS
from tests.commands import Running, services, until
from tests.worker_system import message_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis import Redis

SCRIPT = str(Path(__file__).with_name("watched_worker.py"))
ROOT = str(Path(__file__).parents[2])
MISSING_RUN = '"00000000-0000-4000-8000-000000000000"'
LOOKS_TO_DOOM = int(2 * PATIENCE_SECONDS / LOOK_SECONDS)


@pytest.fixture
def client(broker_url: str) -> Iterator[Redis]:
    with build_client(broker_url) as one:
        yield one


@pytest.fixture
def env(broker_url: str, database_url: str, tmp_path: Path) -> dict[str, str]:
    own = {"IBUTSU_TASKS_SCRATCH_DIR": str(tmp_path), "PYTHONPATH": ROOT}
    return services(broker_url, database_url) | own


def message() -> str:
    return message_text("runs.update_run", MISSING_RUN)[1]


def watch_twice_as_long(worker: Running) -> None:
    """Wait until the watchdog has looked more often than it would to end a worker."""
    before = worker.output.count("LOOKED")
    enough = before + 2 * LOOKS_TO_DOOM
    until(lambda: worker.output.count("LOOKED") > enough or worker.process.poll() is not None)
    assert worker.process.poll() is None, worker.output


def test_a_worker_whose_channel_takes_nothing_ends_itself(env: dict[str, str], client: Redis) -> None:
    with Running(sys.executable, SCRIPT, "wedged", env=env) as worker:
        worker.wait_for("ready.")
        for _ in range(3):
            client.lpush("celery", message())
        until(lambda: worker.process.poll() is not None, 60)
        assert worker.process.poll() == WEDGED == ExitCode.WEDGED, worker.output
    assert "this is where MainThread stands" in worker.output
    assert "Warm shutdown" not in worker.output
    # It ended in order: what it held is done, and what it did not take is there.
    assert queue_depth(client, "celery") == 2
    assert not client.hlen("unacked")


def test_a_worker_whose_loop_is_stuck_is_cut_off(env: dict[str, str], client: Redis) -> None:
    with Running(sys.executable, SCRIPT, "stuck", env=env) as worker:
        worker.wait_for("ready.")
        main = psutil.Process(worker.process.pid)
        family = [main, *main.children(recursive=True)]
        until(lambda: worker.output.count("LOOKED") > LOOKS_TO_DOOM)  # by then it is stuck
        client.lpush("celery", message())
        until(lambda: worker.process.poll() is not None, 60)
        assert worker.process.poll() == WEDGED, worker.output
        assert psutil.wait_procs(family, 20)[1] == []
    assert "the process is cut off" in worker.output
    assert "stands" in worker.output
    assert queue_depth(client, "celery") == 1


@pytest.mark.soak
def test_a_worker_whose_queue_is_paused_is_left_alone(
    env: dict[str, str], client: Redis, broker_url: str
) -> None:
    app = create_broker_celery_app(settings=load_settings({"broker_url": broker_url}, environ={}))
    with Running(sys.executable, SCRIPT, env=env) as worker:
        worker.wait_for("ready.")
        watch_twice_as_long(worker)  # with nothing to do
        app.control.cancel_consumer("celery", reply=True, timeout=5)
        client.lpush("celery", message())
        watch_twice_as_long(worker)
        assert queue_depth(client, "celery") == 1
        app.control.add_consumer("celery", reply=True, timeout=5)
        until(lambda: not queue_depth(client, "celery"))
        assert worker.stop() == 0
    app.close()
    assert "received none" not in worker.output


@pytest.mark.soak
def test_a_worker_full_of_messages_for_later_is_left_alone(env: dict[str, str], client: Redis) -> None:
    later = json.loads(message())
    later["headers"]["eta"] = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    with Running(sys.executable, SCRIPT, env=env) as worker:
        worker.wait_for("ready.")
        for number in range(2 * HELD_FOR_LATER + 2):
            later["properties"]["delivery_tag"] = later["headers"]["id"] = f"later-{number}"
            client.lpush("celery", json.dumps(later))
        until(lambda: client.hlen("unacked") >= HELD_FOR_LATER)
        watch_twice_as_long(worker)
        assert queue_depth(client, "celery") > 0
        assert worker.stop() == 0
