"""The line about the canary: a task through every queue to a worker, the database and the result backend.

It is `update_run` for a run that does not exist, which every Ibutsu worker knows and which changes nothing.
A queue of which a consumer does not know it gets none: that worker would throw it away.
"""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import uuid4

from ibutsu_tasks.celery_app import create_client_app
from ibutsu_tasks.deployment.queues import wanted_queues
from ibutsu_tasks.doctor.report import Finding, finding
from ibutsu_tasks.errors import WaitTimeoutError
from ibutsu_tasks.sending.messages import send, wait_for
from ibutsu_tasks.wire_names import UPDATE_RUN

if TYPE_CHECKING:
    from celery import Celery

    from ibutsu_tasks.deployment.fleet import Fleet
    from ibutsu_tasks.settings import Settings


class Canary(NamedTuple):
    """One that was sent."""

    queue: str
    task_id: str
    sent: float


def check_canary(settings: Settings, fleet: Fleet, wait_seconds: float) -> Finding:
    """Send one through each queue and wait for all of them. Raises ServiceUnreachableError."""
    queues = dict.fromkeys([*wanted_queues(settings), *sorted(_consumed(fleet))])
    fit = [queue for queue in queues if is_fit(fleet, queue)]
    left_out = [queue for queue in queues if queue in _consumed(fleet) and queue not in fit]
    unsent = f"; not sent to {', '.join(left_out)}, of whose workers one does not know it" if left_out else ""
    if not fit:
        return finding("IBT-A78", f"Not checked: no queue has a worker for it{unsent}.")
    with closing(create_client_app(settings)) as app:
        canaries = [send_canary(app, queue, wait_seconds) for queue in fit]
        deadline = time.monotonic() + wait_seconds
        came = {one.queue: _await(app, settings, one, deadline) for one in canaries}
    lost = {queue: end for queue, end in came.items() if isinstance(end, str)}
    if lost:
        sentences = [f"{queue}: {end}" for queue, end in lost.items()]
        return finding(
            "IBT-A71",
            f"A task did not come back from {'; '.join(sentences)}.",
            "`ibutsu-tasks doctor` says what is down and what waits; --wait SECONDS gives it longer.",
        )
    took = ", ".join(f"{queue} in {end:.2f} s" for queue, end in came.items())
    return finding("IBT-A70", f"A task came back from {took}{unsent}.")


def is_fit(fleet: Fleet, queue: str) -> bool:
    """Tell whether every consumer of a queue, and there is one, knows the task."""
    consumers = fleet.consumers(queue)
    return bool(consumers) and all(UPDATE_RUN in worker.tasks for worker in consumers)


def send_canary(app: Celery, queue: str, lasts_seconds: float, countdown: float | None = None) -> Canary:
    """Send one that nobody carries out when it is older. Raises BrokerUnreachableError."""
    options: dict[str, Any] = {
        "queue": queue,
        "expires": lasts_seconds + (countdown or 0),
        "countdown": countdown,
    }
    return Canary(queue, send(app, UPDATE_RUN, [str(uuid4())], **options), time.monotonic())


def _consumed(fleet: Fleet) -> frozenset[str]:
    return frozenset().union(*(worker.queues for worker in fleet.workers))


def _await(app: Celery, settings: Settings, canary: Canary, deadline: float) -> float | str:
    """Give how many seconds it took, or why it did not come."""
    left_seconds = max(deadline - time.monotonic(), 0)
    try:
        outcome = wait_for(app, settings.backend_url or "", canary.task_id, left_seconds)
    except WaitTimeoutError:
        return f"nothing within {time.monotonic() - canary.sent:.0f} s"
    return time.monotonic() - canary.sent if outcome.succeeded else str(outcome.error)
