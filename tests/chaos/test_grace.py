"""How a worker ends: what runs may finish within the grace period, and nothing else is begun or lost."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

import pytest

from ibutsu_tasks.broker.layout import HOLDERS, UNACKED
from ibutsu_tasks.broker.workers import calling_workers
from tests.chaos.conftest import LEASE_SECONDS
from tests.commands import run, run_here, until

if TYPE_CHECKING:
    from tests.chaos.conftest import Fleet

EXIT_SECONDS = 3.0
SOLO = ("--", "--pool", "solo")


def test_a_task_that_takes_too_long_goes_back(fleet: Fleet) -> None:
    with fleet.worker("a@here", "--grace", "1.5") as worker, fleet.holding_up("results"):
        row = fleet.send_import()
        fleet.wait_until_writing()
        began = time.monotonic()
        assert worker.stop(timeout_seconds=40) == 0
        assert 1.5 <= time.monotonic() - began < 1.5 + EXIT_SECONDS + 2  # of a busy machine
        assert fleet.client.llen("celery") == 1
        assert not fleet.client.exists(UNACKED, HOLDERS)
    with fleet.worker("b@here"):
        fleet.wait_until_done(row)


def test_a_task_that_finishes_in_time_is_done_and_the_worker_ends_with_it(fleet: Fleet) -> None:
    with fleet.worker("a@here", "--grace", "60") as worker, fleet.holding_up("results"):
        row = fleet.send_import()
        fleet.wait_until_writing()
        worker.process.send_signal(signal.SIGTERM)
        worker.wait_for("Warm shutdown")
        waiting = fleet.send("runs.sync_aborted_runs")
        fleet.release()
        began = time.monotonic()
        assert worker.stop(timeout_seconds=40) == 0
        assert time.monotonic() - began < EXIT_SECONDS + 5
        assert fleet.outcome(waiting) is None
        assert fleet.client.llen("celery") == 1
    with fleet.worker("b@here"):
        fleet.wait_until_done(row)


def test_a_shutdown_by_control_is_as_good_as_sigterm(fleet: Fleet) -> None:
    with fleet.worker("a@here", "--grace", "60") as worker, fleet.holding_up("results"):
        row = fleet.send_import()
        fleet.wait_until_writing()
        holder = fleet.holders()
        with calling_workers(fleet.broker_url) as call:
            call.some("shutdown", ["a@here"])
        worker.wait_for("Got shutdown")
        with fleet.worker("b@here"):
            # It still renews its lease: nobody is given what it has.
            time.sleep(LEASE_SECONDS * 1.5)
            assert fleet.held_by("a@here") == 1
            assert set(holder) < set(fleet.holders())
            fleet.release()
            assert worker.process.wait(40) == 0
            fleet.wait_until_done(row)


def test_a_solo_worker_gives_its_task_back(fleet: Fleet) -> None:
    with fleet.worker("a@here", "--grace", "1", "--time-limit", "600", *SOLO) as worker:
        assert "The pool solo keeps no time limit" in worker.output
        fleet.send_import(400_000)
        until(lambda: fleet.held_by("a@here"), 10)
        began = time.monotonic()
        assert worker.stop(timeout_seconds=40) == 0
        assert time.monotonic() - began < 1 + EXIT_SECONDS + 2
        assert fleet.client.llen("celery") == 1
        assert not fleet.client.exists(UNACKED, HOLDERS)


@pytest.mark.soak
def test_a_solo_worker_keeps_its_lease_and_ends_with_its_task(fleet: Fleet) -> None:
    with fleet.worker("a@here", "--grace", "60", *SOLO) as worker:
        fleet.send_import(150_000)
        until(lambda: fleet.held_by("a@here"), 10)
        (holder,) = fleet.holders()
        with fleet.worker("b@here"):
            worker.process.send_signal(signal.SIGTERM)
            until(lambda: worker.process.poll() is not None or holder not in fleet.holders(), 60)
            assert worker.process.wait(60) == 0
        assert "succeeded" in worker.output
    assert not fleet.client.exists("celery", UNACKED)


def test_what_was_not_begun_goes_back_at_once(fleet: Fleet) -> None:
    options = ("--grace", "60", "--prefetch-multiplier", "4")
    with fleet.worker("a@here", *options) as worker, fleet.holding_up("results"):
        row = fleet.send_import()
        fleet.wait_until_writing()
        waiting = [fleet.send("runs.sync_aborted_runs") for _ in range(2)]
        fleet.send_later("runs.sync_aborted_runs", 600)
        until(lambda: fleet.held_by("a@here") == 4, 10)
        worker.process.send_signal(signal.SIGTERM)
        until(lambda: fleet.client.llen("celery") == 3, 10)
        assert fleet.held_by("a@here") == 1
        assert [fleet.outcome(task_id) for task_id in waiting] == [None, None]
        assert worker.process.poll() is None
        fleet.release()
        assert worker.stop(timeout_seconds=40) == 0
    assert fleet.client.llen("celery") == 3
    fleet.client.delete("celery")
    fleet.wait_until_done(row)


def test_ctrl_c_asks_and_a_second_one_hurries(fleet: Fleet) -> None:
    with fleet.worker("a@here", "--grace", "1") as worker, fleet.holding_up("results"):
        fleet.send_import()
        fleet.wait_until_writing()
        worker.process.send_signal(signal.SIGINT)
        worker.wait_for("Hitting Ctrl+C again")
        with pytest.raises(TimeoutError):
            _wait_to_end(worker.process.poll, 3)
        worker.process.send_signal(signal.SIGINT)
        worker.process.wait(20)
        assert fleet.client.llen("celery") == 1
    assert "Traceback" not in worker.output


def test_sighup_starts_it_anew_and_sigterm_ends_it_all_the_same(fleet: Fleet) -> None:
    with fleet.worker("a@here", "--grace", "1") as worker, fleet.holding_up("results"):
        fleet.send_import()
        fleet.wait_until_writing()
        worker.process.send_signal(signal.SIGHUP)
        until(lambda: worker.output.count(" ready.") == 2 and fleet.held_by("a@here"), 30)
        assert fleet.held_by("a@here") == 1
        worker.process.send_signal(signal.SIGHUP)
        assert worker.stop(timeout_seconds=40) == 0
        assert worker.output.count(" ready.") == 2
        # It would show the command line, in which there may be a password.
        assert "--hostname" not in worker.output
        assert fleet.client.llen("celery") == 1
        assert not fleet.client.exists(UNACKED, HOLDERS)


@pytest.mark.soak
def test_the_lease_lasts_through_a_long_grace(fleet: Fleet) -> None:
    with fleet.worker("a@here", "--grace", "60") as worker, fleet.holding_up("results"):
        row = fleet.send_import()
        fleet.wait_until_writing()
        worker.process.send_signal(signal.SIGTERM)
        with fleet.worker("b@here"):
            # Not for long: an import waits ten seconds for a lock, and then its message goes back.
            until(lambda: fleet.held_by("b@here"), LEASE_SECONDS * 2)
            assert not fleet.held_by("b@here")
            fleet.release()
            assert worker.stop(timeout_seconds=40) == 0
            fleet.wait_until_done(row)


def test_a_soft_time_limit_that_comes_after_the_hard_one_is_refused(fleet: Fleet) -> None:
    refused = run("worker", "--time-limit", "5", "--soft-time-limit", "10", env=fleet.env)
    assert refused.returncode == 2
    assert "soft" in refused.stderr
    wrong = run_here("worker", "--grace", "0")
    assert wrong.returncode == 2


def _wait_to_end(poll: object, seconds: float) -> None:
    until(poll, seconds)  # type: ignore[arg-type]
    if poll() is None:  # type: ignore[operator]
        raise TimeoutError
