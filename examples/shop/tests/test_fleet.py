"""Three workers of four processes take all eight queues."""

from __future__ import annotations

import os
from collections import Counter
from contextlib import ExitStack
from itertools import count, product
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from examples.shop.tests.marks import BEGAN, ENDED, GATE, TASKS
from ibutsu_tasks.broker.connection import build_client
from ibutsu_tasks.celery_app import create_client_app
from ibutsu_tasks.packages import broker_priority
from ibutsu_tasks.sending import messages
from ibutsu_tasks.settings import load_settings
from tests.commands import Running, role, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from examples.shop.tests.conftest import Shop

WORKERS, PROCESSES = ("one", "two", "three"), 4
SLOTS = len(WORKERS) * PROCESSES
PRIORITIES = (0, 3, 6, 9)


class Mark(NamedTuple):
    number: int
    node: str


class Fleet:
    """The workers, on a Redis database of their own."""

    def __init__(self, env: dict[str, str], workers: dict[str, Running]) -> None:
        self.workers = workers
        settings = load_settings(environ=env)
        self.app = create_client_app(settings)
        self.redis = build_client(settings.require_broker())
        self._numbers = count()

    def send(self, queue: str, priority: int) -> int:
        number = next(self._numbers)
        messages.send(self.app, TASKS[queue], (number,), priority=broker_priority(priority))
        return number

    def marks(self, key: str) -> list[Mark]:
        said = [mark.decode().split(" ") for mark in self.redis.lrange(key, 0, -1)]
        return [Mark(int(number), node.partition("@")[0]) for number, node in said]

    def occupy(self) -> list[int]:
        """Have every process of the fleet wait at the gate; give the numbers of what they run."""
        self.redis.delete(BEGAN, ENDED)
        self.redis.set(GATE, "closed")
        numbers = [self.send("celery", 9) for _ in range(SLOTS)]
        until(lambda: len(self.marks(BEGAN)) == SLOTS)
        assert Counter(mark.node for mark in self.marks(BEGAN)) == dict.fromkeys(WORKERS, PROCESSES)
        return numbers


@pytest.fixture(scope="module")
def fleet(idle_shop: Shop) -> Iterator[Fleet]:
    broker_url = idle_shop.env["CELERY_BROKER_URL"].replace("virtual_host=0", "virtual_host=1")
    here = str(Path(__file__).parent)
    env = idle_shop.env | {"CELERY_BROKER_URL": broker_url}
    variables = env | {"IBUTSU_TASKS_PACKAGES": "marks", "PYTHONPATH": here}
    with ExitStack() as stack:
        options = ("worker", "--concurrency", str(PROCESSES), "--loglevel", "warning", "--hostname")
        workers = {
            name: stack.enter_context(role(*options, f"{name}@test", env=variables)) for name in WORKERS
        }
        fleet = Fleet(env, workers)
        yield fleet
        fleet.redis.delete(GATE)
        fleet.app.close()
        fleet.redis.close()


def test_priorities_are_kept_when_every_queue_is_full(fleet: Fleet) -> None:
    blockers = fleet.occupy()
    # The least urgent first, into every queue.
    priority_of = {
        fleet.send(queue, priority): priority for priority, queue, _ in product(PRIORITIES, TASKS, range(6))
    }
    fleet.redis.delete(GATE)
    until(lambda: len(fleet.marks(ENDED)) >= len(blockers) + len(priority_of))
    began = [mark.number for mark in fleet.marks(BEGAN)][len(blockers) :]
    assert sorted(began) == sorted(priority_of)
    for place, number in enumerate(began):
        later = [one for one in began[place:] if priority_of[one] > priority_of[number]]
        # What workers had taken already, one message for each process, may begin after it.
        assert len(later) < SLOTS
    assert {mark.node for mark in fleet.marks(BEGAN)} == set(WORKERS)


def test_the_work_of_a_killed_worker_moves_and_nothing_else_runs_twice(fleet: Fleet) -> None:
    blockers = fleet.occupy()
    waiting = [fleet.send(queue, priority) for priority, queue in product(PRIORITIES, TASKS)]
    lost = {mark.number for mark in fleet.marks(BEGAN) if mark.node == "two"}
    process = fleet.workers["two"].process
    os.killpg(process.pid, 9)
    process.wait(30)
    fleet.redis.delete(GATE)
    until(lambda: len({mark.number for mark in fleet.marks(ENDED)}) == len(blockers) + len(waiting))
    until(lambda: not fleet.redis.hlen("unacked"))
    began = Counter(mark.number for mark in fleet.marks(BEGAN))
    ended = Counter(mark.number for mark in fleet.marks(ENDED))
    assert ended == dict.fromkeys([*blockers, *waiting], 1)
    assert {number for number, times in began.items() if times > 1} == lost
    assert max(began.values()) == 2
    assert "two" not in {mark.node for mark in fleet.marks(ENDED)}
