"""A message accepted is carried out, whatever happens to the worker that has it."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import psutil
import pytest

from ibutsu_tasks.broker.layout import HOLDERS
from tests.chaos.conftest import LEASE_SECONDS, kill_all
from tests.commands import until

if TYPE_CHECKING:
    from tests.chaos.conftest import Fleet

SOON_SECONDS = LEASE_SECONDS * 1.5 + 10
"""A lease and its recovery, on a busy machine."""


def test_a_whole_worker_killed_in_the_middle_of_an_import(fleet: Fleet) -> None:
    with fleet.worker("a@here") as first, fleet.holding_up("results"):
        row = fleet.send_import()
        fleet.wait_until_writing()
        with fleet.worker("b@here") as second:
            kill_all(first)
            until(lambda: fleet.held_by("b@here"), SOON_SECONDS)
            assert fleet.held_by("b@here") == 1
            assert not fleet.held_by("a@here")
            fleet.release()
            fleet.wait_until_done(row)
            assert "a@here" in second.output


@pytest.mark.soak
def test_only_the_main_process_killed_in_the_middle_of_an_import(fleet: Fleet) -> None:
    with fleet.worker("a@here") as first, fleet.holding_up("results"):
        row = fleet.send_import()
        fleet.wait_until_writing()
        with fleet.worker("b@here"):
            first.process.kill()
            until(lambda: fleet.held_by("b@here"), SOON_SECONDS)
            fleet.release()
            fleet.wait_until_done(row)


def test_a_main_process_that_is_frozen_and_wakes_up_takes_nothing_from_who_came_after_it(
    fleet: Fleet,
) -> None:
    with fleet.worker("a@here") as first, fleet.holding_up("results"):
        row = fleet.send_import()
        fleet.wait_until_writing()
        with fleet.worker("b@here"):
            first.process.send_signal(signal.SIGSTOP)
            until(lambda: fleet.held_by("b@here"), SOON_SECONDS)
            assert fleet.held_by("b@here") == 1
            first.process.send_signal(signal.SIGCONT)
            first.wait_for("The lease of this worker ran out", 30)
            until(lambda: any(name.startswith("a@here:") for name in fleet.holders()), 30)
            assert fleet.held_by("b@here") == 1
            fleet.release()
            fleet.wait_until_done(row)


@pytest.mark.soak
def test_a_message_sent_while_a_worker_is_frozen_is_not_lost_with_it(fleet: Fleet) -> None:
    with fleet.worker("a@here") as first:
        for process in (psutil.Process(first.process.pid), *psutil.Process(first.process.pid).children()):
            process.suspend()
        row = fleet.send_import()
        kill_all(first)
        with fleet.worker("b@here"):
            fleet.wait_until_done(row, SOON_SECONDS)


def test_the_same_node_has_it_done_at_once_when_it_comes_back(fleet: Fleet) -> None:
    lease = {"IBUTSU_TASKS_LEASE_SECONDS": "600"}
    with fleet.worker("a@here", **lease) as first, fleet.holding_up("results"):
        row = fleet.send_import()
        fleet.wait_until_writing()
        kill_all(first)
        with fleet.worker("a@here", **lease):
            until(lambda: fleet.held_by("a@here"), 10)
            fleet.release()
            fleet.wait_until_done(row)


def test_two_workers_of_one_name_leave_each_other_alone(fleet: Fleet) -> None:
    with fleet.worker("a@here"), fleet.holding_up("results"):
        row = fleet.send_import()
        fleet.wait_until_writing()
        held_before = fleet.holders()
        with fleet.worker("a@here"):
            assert set(held_before) < set(fleet.holders())
            assert fleet.waiting_writers() == 1
            fleet.release()
            fleet.wait_until_done(row)


@pytest.mark.soak
def test_messages_with_a_countdown_come_back_too(fleet: Fleet) -> None:
    with fleet.worker("a@here") as first:
        task_id = fleet.send_later("runs.sync_aborted_runs", 12)
        until(lambda: fleet.held_by("a@here"), 10)
        kill_all(first)
    with fleet.worker("b@here"):
        until(lambda: fleet.held_by("b@here"), SOON_SECONDS)
        assert fleet.held_by("b@here") == 1
        until(lambda: fleet.outcome(task_id) == "SUCCESS", 30)
        assert fleet.outcome(task_id) == "SUCCESS"


def test_a_worker_that_ends_leaves_nothing_behind(fleet: Fleet) -> None:
    with fleet.worker("a@here") as worker:
        assert len(fleet.holders()) == 1
        assert worker.stop() == 0
    assert not fleet.client.exists(HOLDERS)


def test_a_broker_that_forgets_who_holds_what_stops_no_task(fleet: Fleet) -> None:
    with fleet.worker("a@here"), fleet.holding_up("results"):
        row = fleet.send_import()
        fleet.wait_until_writing()
        fleet.client.flushall()
        until(fleet.holders, 10)
        assert fleet.waiting_writers() == 1
        fleet.release()
        fleet.wait_until_done(row)
