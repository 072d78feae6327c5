"""Both sides of a comparison with bare Celery: the same settings, queue, pool and log level."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ibutsu_tasks.celery_app import create_celery_app
from ibutsu_tasks.settings import load_settings
from tests.benchmarks.bare_app import CONF_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.benchmarks.system import BenchSystem, BenchWorker

_OWN = {"include", "deprecated_settings", "task_queues", "task_routes", "worker_concurrency"}


@contextmanager
def our_worker(system: BenchSystem, processes: int) -> Iterator[BenchWorker]:
    """Run ours, by Celery's own command line as the other."""
    with system.celery("ibutsu_tasks:worker_app", *_options(processes)) as worker:
        yield worker


@contextmanager
def bare_worker(system: BenchSystem, processes: int) -> Iterator[BenchWorker]:
    """Run a bare application in the settings of ours."""
    variables = {CONF_VARIABLE: json.dumps(conf_of_ours(system))}
    with system.celery("tests.benchmarks.bare_app", *_options(processes), **variables) as worker:
        yield worker


def conf_of_ours(system: BenchSystem) -> dict[str, object]:
    """Give the settings our application makes, the schedule and the tasks apart."""
    settings = load_settings(
        {"broker_url": system.broker_url, "database_url": system.database_url}, environ={}
    )
    changes = create_celery_app(settings=settings).conf.changes
    return {key: value for key, value in changes.items() if not key.startswith("beat_") and key not in _OWN}


def _options(processes: int) -> list[str]:
    return ["--concurrency", str(processes), "--loglevel", "info"]
