"""Messages over eight queues and four priorities, against the same number in one queue: rate and order."""

from __future__ import annotations

import itertools
import json
import time
from contextlib import AbstractContextManager, ExitStack
from typing import TYPE_CHECKING
from uuid import uuid4

from ibutsu_tasks.broker.layout import PRIORITY_STEPS, RESULT_PREFIX, UNACKED, redis_list
from tests.benchmarks.measuring import Figure, interleave, ratio, single
from tests.worker_system import message_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.benchmarks.system import Bench, BenchSystem, BenchWorker

MESSAGES, ROUNDS, WARM_UPS = 5000, 10, 320
WORKERS, PROCESSES = 3, 4
QUEUES = tuple(f"queue-{number}" for number in range(8))

# Each a list in Redis and its step, of which the lowest is first.
EIGHT = tuple((redis_list(queue, step), step) for step, queue in itertools.product(PRIORITY_STEPS, QUEUES))
ONE = (("celery", 0),)

POLL_SECONDS = 0.02
TIMEOUT_SECONDS = 300


def run(bench: Bench) -> list[Figure]:
    """Measure both sides in turns, each with three workers of four processes."""
    with bench.system() as ours, bench.system() as plain, ExitStack() as stack:
        workers = [stack.enter_context(one) for one in _workers(ours, "--queues", ",".join(QUEUES))]
        for one in _workers(plain):
            stack.enter_context(one)
        disorder: list[int] = []
        for system, lists in ((ours, EIGHT), (plain, ONE)):
            _work_off(system, lists, WARM_UPS, [])
        number = MESSAGES // ROUNDS
        our_rate, plain_rate = interleave(
            lambda: _work_off(ours, EIGHT, number, disorder),
            lambda: _work_off(plain, ONE, number, []),
            rounds=ROUNDS,
        )
        peak_bytes = max(worker.peak_rss_bytes() for worker in workers)
    # What workers have taken, one message for each process, may end after a less urgent one.
    taken = WORKERS * PROCESSES - 1
    return [
        ratio("one queue", our_rate, plain_rate, "/s", at_least=0.85, peak_rss_bytes=peak_bytes),
        single("more urgent, and later", max(disorder), "", at_most=taken),
    ]


def _workers(system: BenchSystem, *options: str) -> Iterator[AbstractContextManager[BenchWorker]]:
    for number in range(WORKERS):
        yield system.worker("--concurrency", str(PROCESSES), "--hostname", f"w{number}@bench", *options)


def _work_off(
    system: BenchSystem, lists: tuple[tuple[str, int], ...], messages: int, disorder: list[int]
) -> float:
    """Give the messages a second, from their arrival all at once to the last acknowledgement.

    To `disorder` goes the greatest number of messages that ended after one less urgent than they.
    """
    steps: dict[str, int] = {}
    arrival = system.client.pipeline()
    for place, step in itertools.islice(itertools.cycle(lists), messages):
        task_id, message = message_text("runs.update_run", json.dumps(str(uuid4())))
        steps[task_id] = step
        arrival.lpush(place, message)
    start = time.perf_counter()
    # In one transaction: no worker sees a part of them.
    arrival.execute()
    while not _is_idle(system, lists):
        assert time.perf_counter() - start < TIMEOUT_SECONDS, "the messages are not worked off"
        time.sleep(POLL_SECONDS)
    rate = len(steps) / (time.perf_counter() - start)
    disorder.append(_disorder(system, steps))
    return rate


def _is_idle(system: BenchSystem, lists: tuple[tuple[str, int], ...]) -> bool:
    pipeline = system.client.pipeline().hlen(UNACKED)
    for place, _ in lists:
        pipeline.llen(place)
    return not any(pipeline.execute())


def _disorder(system: BenchSystem, steps: dict[str, int]) -> int:
    keys = [RESULT_PREFIX + task_id for task_id in steps]
    results = [json.loads(stored) for stored in system.client.mget(keys)]
    system.client.unlink(*keys)
    ended = sorted(results, key=lambda result: result["date_done"])
    order = [steps[result["task_id"]] for result in ended]
    return max(sum(later < step for later in order[place:]) for place, step in enumerate(order))
