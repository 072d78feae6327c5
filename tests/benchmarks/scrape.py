"""A scrape of the fleet with a million messages waiting and a million imports, against an empty one."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

from sqlalchemy import text

from ibutsu_tasks.broker.connection import build_client
from ibutsu_tasks.broker.layout import HOLDERS, TOTALS, WORKER_PREFIX
from ibutsu_tasks.delivery.counts import BUCKET_LABELS, DURATION, FINISHED, SUM
from ibutsu_tasks.ibutsu.signatures import STUBS
from ibutsu_tasks.metrics.fleet import Fleet
from ibutsu_tasks.resources import Resources
from ibutsu_tasks.settings import load_settings
from tests.benchmarks.measuring import Figure, interleave, ratio, seconds, single
from tests.worker_system import message_text

if TYPE_CHECKING:
    from redis import Redis

    from tests.benchmarks.system import Bench, BenchSystem

MILLION = 1_000_000
MESSAGES_PER_PUSH = 5000
WORKERS = 30
ROUNDS = 50

_IMPORTS = text("""
    insert into imports (id, filename, format, status, data, created)
    select gen_random_uuid(), 'report.xml', 'junit', case when number % 10 = 0 then 'error' else 'done' end,
           '{}', now() - interval '1 day'
    from generate_series(1, 1000000) as number
""")


def run(bench: Bench) -> list[Figure]:
    """Scrape thirty workers and all tasks, in turns with a fleet in which nothing waits."""
    with ExitStack() as stack:
        full, empty = (
            _fleet(stack, stack.enter_context(bench.system()), is_full=one) for one in (True, False)
        )
        first = seconds(full.text)
        empty.text()
        ours, reference = interleave(lambda: seconds(full.text), lambda: seconds(empty.text), rounds=ROUNDS)
        failures = full.scrape().failures
    assert not failures, failures
    return [
        single("a million messages", ours, "s", at_most=0.05),
        ratio("nothing waiting", ours, reference, "s", at_most=1.5),
        single("the first, which counts imports", first, "s"),
    ]


def _fleet(stack: ExitStack, system: BenchSystem, *, is_full: bool) -> Fleet:
    client = stack.enter_context(build_client(system.broker_url, 60))
    _add_workers(client)
    if is_full:
        _fill(client, system)
    services = {"broker_url": system.broker_url, "database_url": system.database_url}
    return Fleet(stack.enter_context(closing(Resources(load_settings(services, environ={}), "metrics"))))


def _add_workers(client: Redis) -> None:
    for number in range(WORKERS):
        client.zadd(HOLDERS, {f"worker-{number}": time.time() + 3600})
        report = {"slots": 4, "busy": 4, "queues": ["celery", f"queue-{number}"]}
        client.set(f"{WORKER_PREFIX}worker-{number}", json.dumps(report))
    for task in STUBS:
        for outcome in ("succeeded", "failed", "retried"):
            keys = [
                [FINISHED, task, outcome],
                *([DURATION, task, outcome, one] for one in (*BUCKET_LABELS, SUM)),
            ]
            client.hset(TOTALS, mapping={json.dumps(key): 1000 for key in keys})


def _fill(client: Redis, system: BenchSystem) -> None:
    message = message_text("runs.update_run", '"00000000-0000-4000-8000-000000000000"')[1]
    for _ in range(MILLION // MESSAGES_PER_PUSH):
        client.lpush("celery", *[message] * MESSAGES_PER_PUSH)
    with system.session() as session:
        session.execute(_IMPORTS)
        session.commit()
