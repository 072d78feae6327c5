"""Sending lost work again, from a periodic task of a task package."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from billiard.process import current_process
from celery.worker.state import reserved_requests

from ibutsu_tasks.broker.messages import ids_in
from ibutsu_tasks.broker.reconciliation import Fate, Reconciler
from ibutsu_tasks.broker.whereabouts import Broker

if TYPE_CHECKING:
    from uuid import UUID

    from ibutsu_tasks.broker.reconciliation import Rows
    from ibutsu_tasks.tasks.base import DatabaseTask

logger = logging.getLogger(__name__)

MAIN_PROCESS = "MainProcess"
"""Billiard's name of a process that is no child of a pool: of a worker with the pool `solo`, or threads."""


def reconcile(task: DatabaseTask, rows: Rows, age_seconds: float) -> dict[str, int]:
    """Send every lost row's message again, or end the row; leave alone what may be alive. Give the numbers.

    Raises BusyError, which is temporary, while another does so.
    """
    resources = task.resources
    settings = resources.settings
    broker = Broker(resources.redis, settings.require_broker(), settings.consumed_queues)
    if current_process().name == MAIN_PROCESS:
        broker = replace(broker, asking_node=task.request.hostname, asking_has=_fetched_ids())
    reconciler = Reconciler(rows, resources.session, broker, lambda one: task.send_now(one.task, *one.args))
    decisions = reconciler.requeue_stuck(age_seconds)
    for one in decisions:
        level = logging.DEBUG if one.fate is Fate.LEFT else logging.WARNING
        logger.log(level, "%s %s: %s: %s", rows.name, one.id, one.fate.value, one.reason)
    counts = Counter(one.fate for one in decisions)
    return {fate.value: counts[fate] for fate in Fate}


def _fetched_ids() -> frozenset[UUID]:
    """Find the ids in the tasks of this worker, which runs them in its own process."""
    return frozenset(ids_in(repr([request.info() for request in list(reserved_requests)])))
