"""Processes whose clocks are an hour ahead or behind: nothing is done twice, lost, or late by that hour."""

from __future__ import annotations

import json
import time
from datetime import datetime
from typing import TYPE_CHECKING

import psutil
import pytest

from ibutsu_tasks.broker.layout import UNACKED
from ibutsu_tasks.delivery.pauses import broker_now
from tests.chaos.conftest import LEASE_SECONDS, kill_all
from tests.chaos.wrong_clocks import an_hour, needs_wrong_clocks
from tests.commands import run, until

if TYPE_CHECKING:
    from tests.chaos.conftest import Fleet

pytestmark = needs_wrong_clocks


@pytest.mark.parametrize("way", ["+", pytest.param("-", marks=pytest.mark.soak)])
def test_leases(fleet: Fleet, way: str) -> None:
    with fleet.worker("wrong@here", "--concurrency=1", **an_hour(way)) as wrong:
        with fleet.worker("right@here", "--concurrency=1") as right, fleet.holding_up("results"):
            rows = [fleet.send_import(), fleet.send_import()]
            fleet.wait_until_writing(2)
            # Each holds one, for longer than a lease, and neither takes the other's.
            time.sleep(2 * LEASE_SECONDS)
            assert (fleet.held_by("wrong@here"), fleet.held_by("right@here")) == (1, 1)
            kill_all(right)
            # Whose was killed goes to the other one, which still has its own.
            until(lambda: not fleet.held_by("right@here"), 30)
            fleet.release()
            fleet.wait_until_ended(*rows, timeout_seconds=30)
        received = [*wrong.lines, *right.lines]
    assert sum("] received" in line for line in received) == len(rows) + 1
    assert fleet.count_results() == 2 * len(rows)


@pytest.mark.parametrize("way", ["+", pytest.param("-", marks=pytest.mark.soak)])
def test_what_is_tried_again_waits_by_no_clock_of_others(fleet: Fleet, way: str) -> None:
    with fleet.worker("wrong@here", "--concurrency=1", **an_hour(way)) as wrong, fleet.holding_up("results"):
        row = fleet.send_import()
        fleet.wait_until_writing()
        before = broker_now(fleet.client)
        fleet.end_writers()
        wrong.wait_for("] retry:")
        fleet.wait_until_writing()
        ((message, *_),) = map(json.loads, fleet.client.hvals(UNACKED))
        assert before < datetime.fromisoformat(message["headers"]["eta"]) < broker_now(fleet.client)
        # One process of the pool less, and a pause for it.
        psutil.Process(wrong.process.pid).children()[0].kill()
        wrong.wait_for("it runs again in 2 s")
        fleet.wait_until_writing()
        kill_all(wrong)
    with fleet.worker("right@here"):
        fleet.wait_until_done(row, 30)


@pytest.mark.soak
def test_a_reconciliation_leaves_alone_what_is_alive(fleet: Fleet) -> None:
    with fleet.worker("right@here", "--concurrency=1"), fleet.holding_up("results"):
        rows = [fleet.send_import() for _ in range(4)]
        fleet.wait_until_writing()
        # By its clock all of them are old.
        done = run("imports", "requeue", "--stuck", "--json", env=fleet.env | an_hour("+"))
        decided = json.loads(done.stdout)
        assert (decided["sent"], decided["ended"], decided["left"]) == (0, 0, len(rows)), done.stdout
        fleet.release()
        fleet.wait_until_ended(*rows)
    assert fleet.count_results() == 2 * len(rows)
