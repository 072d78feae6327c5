"""The worker's step that takes messages under a lease, and gives those of workers that are gone to others."""

from __future__ import annotations

import logging
import math
import threading
import time
from typing import TYPE_CHECKING, Any

from celery import bootsteps
from celery.bootsteps import RUN  # type: ignore[attr-defined]  # not in its stubs
from celery.concurrency.solo import TaskPool as SoloPool
from redis.exceptions import ResponseError

from ibutsu_tasks.delivery.grace import is_stopping
from ibutsu_tasks.delivery.held.lease import Lease, Renewer
from ibutsu_tasks.delivery.held.recovery import recover, recover_gone, recover_lapsed
from ibutsu_tasks.delivery.held.transport import Channel
from ibutsu_tasks.delivery.report import report

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)

STOP_SECONDS = 2.0
"""What a thread that renews is given to end, before the connections it uses are closed."""


class Holding(bootsteps.StartStopStep):
    """Takes a lease for each connection to the broker, before the first message is taken on it."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, consumer: Any, **options: Any) -> None:
        super().__init__(consumer, **options)
        self._previous: Lease | None = None
        self._steady_since = -math.inf
        self._stop: Callable[[], object] = lambda: None
        self._renew: Callable[[], None] = lambda: None
        self._report: Callable[[], None] = lambda: None

    def start(self, consumer: Any) -> None:
        """Take a lease, after what an earlier connection or process of this node held is given back."""
        channel = consumer.task_consumer.channel
        if not isinstance(channel, Channel) or channel.global_keyprefix:
            return
        lease = Lease(consumer.hostname, consumer.app.conf.ibutsu_tasks_lease_seconds)
        channel.take_under(lease)
        try:
            self._recover_own(channel, lease)
        except ResponseError as error:
            # Such as a server out of memory. Nothing is taken before the lease is.
            logger.warning("What this node held before cannot be given back yet: %s", error)
        self._begin(consumer, channel, lease)

    def stop(self, consumer: Any) -> None:
        """Renew from a thread while the worker ends: its loop has ended, and its tasks have not."""
        self._stop()
        if consumer.blueprint.state != RUN:
            channel = consumer.task_consumer and consumer.task_consumer.channel
            lease = getattr(channel, "lease", None)
            if lease is not None:
                self._renew()
                self._stop = _run_in_a_thread(self._renew, lease.renewal_seconds)

    def shutdown(self, consumer: Any) -> None:  # noqa: ARG002 - Celery's signature
        """Renew no more: what is held goes back when the connection closes. All that ended is counted."""
        self._stop()
        self._report()

    def _recover_own(self, channel: Channel, lease: Lease) -> None:
        with channel.conn_or_acquire() as client:
            if self._previous:
                self._steady_since = time.monotonic()
                # Its tasks were cancelled with its connection, and its process is this one: nothing was lost.
                self._previous.give_up_done(client)
                recover(client, self._previous.holder, lease.seconds, at_once=True, is_loss=False)
                self._previous = None
            recover_gone(client, lease.node_name, lease.seconds)

    def _may_judge(self, lease: Lease, *, has_failed: bool) -> bool:
        """Say whether a lease that is over is one of a worker that is gone.

        A broker that took no renewals from this worker took none from others, who are about to renew theirs.
        """
        if has_failed:
            self._steady_since = time.monotonic()
        return time.monotonic() - self._steady_since >= lease.seconds

    def _begin(self, consumer: Any, channel: Channel, lease: Lease) -> None:
        self._previous = lease

        def renew() -> None:
            # A pool that was ended can no more be asked.
            if not is_stopping():
                lease.slots = consumer.pool.num_processes
            with channel.conn_or_acquire() as client:
                lease.renew(client, channel.qos.delivered, channel.is_taking)
                if self._may_judge(lease, has_failed=renewer.fails):
                    recover_lapsed(client, lease.seconds)
                report(client, lease, consumer)

        def report_last() -> None:
            # A broker that kept silent would do so for its whole time limit once more.
            if not renewer.fails:
                with channel.conn_or_acquire() as client:
                    report(client, lease, consumer)

        renewer = Renewer(renew)
        self._renew, self._report = renewer, report_last
        self._renew()
        # A task of the solo pool runs in the loop, which then renews nothing. Elsewhere the loop renews: a
        # worker with a stuck one is to lose its lease, and a process with threads had better not fork.
        if consumer.hub is None or isinstance(consumer.pool, SoloPool):
            self._stop = _run_in_a_thread(self._renew, lease.renewal_seconds)
        else:
            entry = consumer.hub.call_repeatedly(lease.renewal_seconds, self._renew)
            self._stop = entry.cancel


def _run_in_a_thread(call: Callable[[], None], pause_seconds: float) -> Callable[[], object]:
    """Call it after each pause; give what ends that."""
    is_over = threading.Event()

    def run() -> None:
        while not is_over.wait(pause_seconds):
            call()

    thread = threading.Thread(target=run, name="lease", daemon=True)
    thread.start()

    def stop() -> None:
        is_over.set()
        thread.join(STOP_SECONDS)

    return stop
