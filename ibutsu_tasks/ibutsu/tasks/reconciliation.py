"""The task of our own that finds lost imports; beat sends it to the queue that only our workers consume."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from billiard.process import current_process
from celery import shared_task
from celery.worker.state import reserved_requests

from ibutsu_tasks.broker.messages import ids_in
from ibutsu_tasks.ibutsu.operations.imports.reconciliation import Fate, Reconciler
from ibutsu_tasks.ibutsu.operations.imports.whereabouts import Broker
from ibutsu_tasks.ibutsu.settings import IMPORT_STUCK_SECONDS
from ibutsu_tasks.ibutsu.wire_names import RECONCILE_IMPORTS
from ibutsu_tasks.tasks.base import DatabaseTask

if TYPE_CHECKING:
    from uuid import UUID

logger = logging.getLogger(__name__)

MAIN_PROCESS = "MainProcess"
"""Billiard's name of a process that is no child of a pool: of a worker with the pool `solo`, or threads."""


@shared_task(name=RECONCILE_IMPORTS, bind=True, base=DatabaseTask)
def reconcile_imports(self: DatabaseTask) -> dict[str, int]:
    """Send every lost import again, or end it when its content is gone; leave alone what may be alive."""
    resources = self.resources
    settings = resources.settings
    broker = Broker(resources.redis, settings.require_broker(), settings.consumed_queues)
    if current_process().name == MAIN_PROCESS:
        broker = replace(broker, asking_node=self.request.hostname, asking_has=_fetched_ids())
    reconciler = Reconciler(
        resources.session, broker, lambda upload: self.send_now(upload.wire_name, upload.message)
    )
    decisions = reconciler.requeue_stuck(settings.value(IMPORT_STUCK_SECONDS))
    for one in decisions:
        level = logging.DEBUG if one.fate is Fate.LEFT else logging.WARNING
        logger.log(level, "import %s: %s: %s", one.import_id, one.fate.value, one.reason)
    counts = Counter(one.fate for one in decisions)
    return {fate.value: counts[fate] for fate in Fate}


def _fetched_ids() -> frozenset[UUID]:
    """Find the ids in the tasks of this worker, which runs them in its own process."""
    return frozenset(ids_in(repr([request.info() for request in list(reserved_requests)])))
