"""The worker's step that learns which tasks were cancelled while it was not there to hear it.

Read from Celery 5.7: the ids in `celery.worker.state.revoked` are looked at before a task begins, a broadcast
adds to them, and each is forgotten after `expires` seconds (three hours).
"""

from __future__ import annotations

import logging
from typing import Any

from celery import bootsteps
from celery.worker import state as worker_state
from redis.exceptions import ResponseError

from ibutsu_tasks.broker.revocations import KEPT_SECONDS, remembered
from ibutsu_tasks.delivery.held.transport import Channel

logger = logging.getLogger(__name__)

revoked: Any = worker_state.revoked


class Revoked(bootsteps.StartStopStep):
    """Reads them with each connection, after the worker hears broadcasts and before it takes a message."""

    requires = ("celery.worker.consumer.control:Control",)

    def start(self, consumer: Any) -> None:
        """Read them. A broken connection is Celery's to mend, which starts all steps anew."""
        channel = consumer.task_consumer.channel
        if not isinstance(channel, Channel):
            return
        revoked.expires = KEPT_SECONDS
        try:
            with channel.conn_or_acquire() as client:
                revoked.update(remembered(client))
        except ResponseError as error:
            logger.warning("Which tasks were cancelled cannot be read: %s", error)
