"""The broker goes, comes back, refuses: workers stay up, and what they held is carried out."""

from __future__ import annotations

import signal
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ibutsu_tasks.broker.connection import build_client
from ibutsu_tasks.broker.layout import HOLDERS, UNACKED
from ibutsu_tasks.local.servers.shared import LocalServers
from tests.chaos.conftest import LEASE_SECONDS, Fleet
from tests.commands import run, until
from tests.conftest import discard

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Engine
    from sqlalchemy.orm import Session


@pytest.fixture
def own_servers() -> Iterator[LocalServers]:
    """A broker of this test's own, to be ended and started."""
    data_dir = Path(tempfile.mkdtemp(prefix="ibutsu-tasks-test-"))
    try:
        with LocalServers(data_dir) as servers:
            yield servers
    finally:
        discard(data_dir)


def restart_broker(servers: LocalServers) -> None:
    with build_client(servers.broker_url) as client:
        client.shutdown(save=True)
    servers.restart_ended()


@pytest.mark.soak
def test_a_broker_that_restarts_while_a_worker_waits(
    own_servers: LocalServers, database_url: str, session: Session, engine: Engine
) -> None:
    fleet = Fleet(own_servers.broker_url, database_url, session, engine)
    with fleet.worker("a@here") as worker:
        restart_broker(own_servers)
        fleet.wait_until_done(fleet.send_import())
        assert worker.output.count("could not be renewed") <= 1


def test_a_broker_that_restarts_in_the_middle_of_an_import(
    own_servers: LocalServers, database_url: str, session: Session, engine: Engine
) -> None:
    fleet = Fleet(own_servers.broker_url, database_url, session, engine)
    with fleet.worker("a@here"), fleet.holding_up("results"):
        row = fleet.send_import()
        fleet.wait_until_writing()
        restart_broker(own_servers)
        # The connection is lost, and with it what ran: the same worker begins it anew.
        until(lambda: fleet.held_by("a@here"), 20)
        fleet.release()
        fleet.wait_until_done(row)
        until(lambda: len(fleet.holders()) == 1, 10)
        assert len(fleet.holders()) == 1


@pytest.mark.soak
def test_a_broker_that_restarts_empty_in_the_middle_of_an_import(
    own_servers: LocalServers, database_url: str, session: Session, engine: Engine
) -> None:
    fleet = Fleet(own_servers.broker_url, database_url, session, engine)
    at_once = fleet.env | {"IBUTSU_TASKS_IMPORT_STUCK_SECONDS": "1"}
    with fleet.worker("a@here") as worker, fleet.holding_up("results"):
        row = fleet.send_import()
        fleet.wait_until_writing()
        fleet.client.flushall()
        restart_broker(own_servers)
        worker.wait_for("the broker is back")
        fleet.release()
        until(lambda: not fleet.waiting_writers(), 10)
        time.sleep(1)
        sent = run("imports", "requeue", "--stuck", "--json", env=at_once)
        assert sent.returncode == 0, sent.stdout + sent.stderr
        fleet.wait_until_done(row)
        assert "Traceback" not in worker.output


def test_a_broker_without_memory_is_waited_for(fleet: Fleet) -> None:
    with fleet.worker("a@here") as worker:
        row = fleet.send_import()
        fleet.wait_until_done(row)
        worker.process.send_signal(signal.SIGSTOP)
        task_id = fleet.send("runs.sync_aborted_runs")
        fleet.client.config_set("maxmemory", 1)
        worker.process.send_signal(signal.SIGCONT)
        try:
            worker.wait_for("No message can be taken", 20)
        finally:
            fleet.client.config_set("maxmemory", 0)
        until(lambda: fleet.outcome(task_id) == "SUCCESS", 20)
        assert fleet.outcome(task_id) == "SUCCESS"
        assert worker.output.count("No message can be taken") == 1
        assert "Traceback" not in worker.output


@pytest.mark.parametrize(
    "fault",
    [
        ("CONFIG SET", "maxmemory", "1"),
        pytest.param(("REPLICAOF", "127.0.0.1", "1"), marks=pytest.mark.soak),
    ],
)
def test_a_broker_that_takes_nothing_for_longer_than_a_lease(fleet: Fleet, fault: tuple[str, ...]) -> None:
    with fleet.worker("a@here") as first, fleet.worker("b@here") as second:
        task_id = fleet.send_later("runs.sync_aborted_runs", 8)
        until(lambda: fleet.client.exists(UNACKED), 10)
        holders = set(fleet.holders())
        fleet.client.execute_command(*fault)
        time.sleep(LEASE_SECONDS * 2)
        fleet.client.config_set("maxmemory", 0)
        fleet.client.execute_command("REPLICAOF", "NO", "ONE")
        until(lambda: fleet.outcome(task_id) == "SUCCESS", 20)
        assert fleet.outcome(task_id) == "SUCCESS"
        said = first.output + second.output
        assert set(fleet.holders()) == holders, "who lives was taken for gone"
        assert said.count(f"{task_id}] received") == 1
        assert "Traceback" not in said


def test_a_key_of_a_wrong_type_is_named_once_and_waited_out(fleet: Fleet) -> None:
    with fleet.worker("a@here") as worker:
        fleet.client.set(UNACKED, "garbage")
        task_id = fleet.send("runs.sync_aborted_runs")
        said = "No message can be taken: the key unacked is a string, and should be a hash."
        worker.wait_for(said, 20)
        # It looks again each second.
        time.sleep(2.5)
        fleet.client.delete(UNACKED)
        until(lambda: fleet.outcome(task_id) == "SUCCESS", 20)
        assert fleet.outcome(task_id) == "SUCCESS"
        assert worker.output.count("No message can be taken") == 1


def test_a_user_who_may_not_be_told_of_changes(fleet: Fleet) -> None:
    # The embedded broker knows no users: its default one is what workers are.
    fleet.client.execute_command("ACL", "SETUSER", "default", "-client")
    try:
        with fleet.worker("a@here") as worker:
            fleet.wait_until_done(fleet.send_import())
            assert "refuses CLIENT TRACKING" in worker.output
            assert worker.stop() == 0
    finally:
        fleet.client.execute_command("ACL", "SETUSER", "default", "+@all")
    assert not fleet.client.exists(HOLDERS, UNACKED)


def test_a_message_is_taken_when_it_comes(fleet: Fleet) -> None:
    with fleet.worker("a@here"):
        began = time.monotonic()
        for _ in range(20):
            task_id = fleet.send("runs.sync_aborted_runs")
            until(lambda task_id=task_id: fleet.outcome(task_id) == "SUCCESS", 10)  # type: ignore[misc]
            assert fleet.outcome(task_id) == "SUCCESS"
        # A worker that is not told of it would look once a second.
        assert time.monotonic() - began < 10
