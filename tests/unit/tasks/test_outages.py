from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

import pytest
from celery.worker.consumer import connection, consumer

from ibutsu_tasks.errors import BusyError, DatabaseUnreachableError
from ibutsu_tasks.tasks.outages import BROKER, DATABASE, Outages, Said, outages, service_of
from ibutsu_tasks.tasks.retries import MAX_PAUSE_SECONDS, pause_seconds

if TYPE_CHECKING:
    from collections.abc import Iterator


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def watched(clock: Clock, caplog: pytest.LogCaptureFixture) -> Outages:
    caplog.set_level(logging.INFO, "ibutsu_tasks.tasks.outages")
    return Outages(clock)


REFUSED = DatabaseUnreachableError("PostgreSQL at db did not work: refused")


def test_an_outage_is_told_once_and_so_is_its_end(
    watched: Outages, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(90):
        watched.note(DATABASE, REFUSED)
        clock.now += 1
    watched.end(DATABASE)
    watched.end(DATABASE)
    assert caplog.messages == [
        "the database is away, and what needs it waits: PostgreSQL at db did not work: refused",
        "the database is back after 1 min 30 s",
    ]


def test_a_long_one_is_reminded_of_every_ten_minutes(
    watched: Outages, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3 * 60):
        watched.note(DATABASE, REFUSED)
        clock.now += 60
    assert len(caplog.messages) == 18
    assert caplog.messages[-1].startswith("the database has been away for 2 h 50 min: PostgreSQL")


def test_a_service_that_comes_and_goes_fills_no_log(
    watched: Outages, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(100):
        watched.note(DATABASE, REFUSED)
        clock.now += 0.5
        watched.end(DATABASE)
        clock.now += 0.5
    assert len(caplog.messages) == 8


def test_an_outage_soon_after_another_is_told_when_it_lasts(
    watched: Outages, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    watched.note(BROKER, ConnectionRefusedError("first"))
    watched.end(BROKER)
    for _ in range(65):
        clock.now += 1
        watched.note(BROKER, ConnectionRefusedError("second"))
    assert [message for message in caplog.messages if "second" in message]


def test_it_is_shared_with_forked_processes(watched: Outages) -> None:
    child = os.fork()
    if child == 0:
        watched.note(BROKER, ConnectionRefusedError())
        os._exit(0)
    os.waitpid(child, 0)
    assert watched.are_on()


def test_who_was_slower_meets_no_outage() -> None:
    assert service_of(BusyError("taken")) is None
    assert service_of(REFUSED) == DATABASE
    assert service_of(ConnectionRefusedError()) == BROKER


@pytest.fixture
def _no_outage() -> Iterator[None]:
    yield
    for service in (DATABASE, BROKER):
        outages.end(service)


@pytest.mark.usefixtures("_no_outage")
def test_celery_still_says_what_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    assert consumer.CONNECTION_ERROR == Said.CANNOT_CONNECT
    assert consumer.CONNECTION_RETRY == Said.CONNECTION_LOST
    for _ in range(5):
        consumer.error(consumer.CONNECTION_ERROR, "redis://", ConnectionRefusedError("refused"), "again")
    assert caplog.messages == [
        "the broker is away, and what needs it waits: refused (the connection was refused or broke)"
    ]
    connection.info("Connected to %s", "redis://")
    assert not outages.are_on()


def test_pauses_grow_to_ten_minutes_and_no_further() -> None:
    assert all(pause_seconds(tries) <= 2.0**tries for tries in range(8))
    many = [pause_seconds(10**6) for _ in range(1000)]
    assert 0.8 * MAX_PAUSE_SECONDS < max(many) <= MAX_PAUSE_SECONDS
    assert min(many) < 0.2 * MAX_PAUSE_SECONDS
