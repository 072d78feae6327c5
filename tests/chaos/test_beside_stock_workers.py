"""Stock workers on the same broker: nobody's messages are taken from who holds them."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from celery import Celery

from ibutsu_tasks.broker.connection import address_of
from ibutsu_tasks.broker.layout import UNACKED, UNACKED_INDEX
from tests.chaos.conftest import LEASE_SECONDS, kill_all
from tests.commands import CELERY, Running, until
from tests.worker_system import message_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.chaos.conftest import Fleet


@contextmanager
def stock_worker(fleet: Fleet, **env: str) -> Iterator[Running]:
    words = ("--workdir", str(Path(__file__).parent), "-A", "stock_worker", "worker", "--queues", "stock")
    options = (
        "--concurrency",
        "1",
        "--without-mingle",
        "--without-gossip",
        "--hostname",
        "stock@here",
        "-l",
        "info",
    )
    own = {"STOCK_BROKER_URL": fleet.broker_url, "PYTHONWARNINGS": "ignore"}
    with Running(CELERY, *words, *options, env=own | env) as worker:
        worker.wait_for("ready.")
        yield worker
        print(worker.output)  # noqa: T201 - shown when a test fails


def send_stock(fleet: Fleet, name: str, seconds: float = 0, **options: float) -> None:
    with Celery("sender", broker=fleet.broker_url, set_as_current=False) as sender:
        path = str(address_of(fleet.broker_url).path)
        sender.send_task("stock.work", (name, path, seconds), queue="stock", **options)


def done(fleet: Fleet) -> dict[bytes, bytes]:
    return dict(fleet.client.hgetall("stock-done"))


def test_recovery_leaves_a_stock_worker_what_it_holds(fleet: Fleet) -> None:
    with stock_worker(fleet) as stock, fleet.worker("a@here") as first, fleet.holding_up("results"):
        send_stock(fleet, "early", LEASE_SECONDS * 6)
        stock.wait_for("received")
        send_stock(fleet, "prefetched")
        send_stock(fleet, "later", countdown=LEASE_SECONDS * 8)
        until(lambda: fleet.client.hlen(UNACKED) == 2, 10)
        held_by_stock = set(fleet.client.hkeys(UNACKED))
        assert len(held_by_stock) == 2
        row = fleet.send_import()
        fleet.wait_until_writing()
        with fleet.worker("b@here"):
            kill_all(first)
            until(lambda: fleet.held_by("b@here"), LEASE_SECONDS * 1.5 + 10)
            assert fleet.held_by("b@here") == 1
            assert held_by_stock < set(fleet.client.hkeys(UNACKED))
            fleet.release()
            names = {b"early", b"prefetched", b"later"}
            until(lambda: done(fleet).keys() == names, 40)
            assert done(fleet) == dict.fromkeys(names, b"1")
        with fleet.worker("c@here"):
            fleet.wait_until_done(row)


@pytest.mark.soak
def test_a_task_longer_than_a_stock_workers_visibility_time_out_runs_once(fleet: Fleet) -> None:
    with fleet.worker("a@here"), fleet.holding_up("results"):
        row = fleet.send_import()
        fleet.wait_until_writing()
        holder = fleet.holders()
        with stock_worker(fleet, STOCK_VISIBILITY_SECONDS="0.5", STOCK_ACKS_LATE="1"):
            end = time.monotonic() + 2 * LEASE_SECONDS
            number = 0
            while time.monotonic() < end:
                number += 1
                forget_a_message(fleet, f"decoy {number}")
                until(lambda: not fleet.client.hexists(UNACKED, "decoy"), 20)
                assert not fleet.client.hexists(UNACKED, "decoy"), "the stock worker gives nothing back"
                assert fleet.held_by("a@here") == 1
                assert fleet.client.hlen(UNACKED) == 1
            assert number > 2
        assert fleet.holders() == holder
        fleet.release()
        fleet.wait_until_done(row)


def forget_a_message(fleet: Fleet, name: str) -> None:
    """Leave a message as a stock worker that died long ago does."""
    _, text = message_text("runs.sync_aborted_runs")
    message = json.loads(text)
    message["headers"]["id"] = name
    fleet.client.hset(UNACKED, "decoy", json.dumps([message, "", "nobodys"]))
    fleet.client.zadd(UNACKED_INDEX, {"decoy": 1})
