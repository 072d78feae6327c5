"""The line about the canary: a task through every queue to a worker, the database and the result backend.

It is the first that a task package declares and all consumers of the queue know: a task that changes nothing.
A queue of which a consumer knows none gets none: that worker would throw it away.
"""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING, Any, NamedTuple

from ibutsu_tasks import packages
from ibutsu_tasks.celery_app import create_client_app
from ibutsu_tasks.doctor.report import Finding, finding
from ibutsu_tasks.errors import WaitTimeoutError
from ibutsu_tasks.sending.messages import send, wait_for

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
    if not canaries():
        return finding("IBT-A78", "Not checked: no task package declares a canary.")
    queues = dict.fromkeys([*settings.consumed_queues, *sorted(_consumed(fleet))])
    fit = [queue for queue in queues if is_fit(fleet, queue)]
    left_out = [queue for queue in queues if queue in _consumed(fleet) and queue not in fit]
    unsent = f"; not sent to {', '.join(left_out)}, of whose workers one does not know it" if left_out else ""
    if not fit:
        return finding("IBT-A78", f"Not checked: no queue has a worker for it{unsent}.")
    with closing(create_client_app(settings)) as app:
        sent = [send_canary(app, fleet, queue, wait_seconds) for queue in fit]
        deadline = time.monotonic() + wait_seconds
        came = {one.queue: _await(app, settings, one, deadline) for one in sent}
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
    return _canary_for(fleet, queue) is not None


def canaries() -> tuple[packages.Canary, ...]:
    """Give those of the task packages."""
    return tuple(one.canary for one in packages.loaded().packages if one.canary)


def _canary_for(fleet: Fleet, queue: str) -> packages.Canary | None:
    consumers = fleet.consumers(queue)
    known = (one for one in canaries() if all(one.task in worker.tasks for worker in consumers))
    return next(known, None) if consumers else None


def send_canary(
    app: Celery, fleet: Fleet, queue: str, lasts_seconds: float, countdown: float | None = None
) -> Canary:
    """Send one that nobody carries out when it is older, to a queue that is fit.

    Raises BrokerUnreachableError.
    """
    canary = _canary_for(fleet, queue)
    if canary is None:
        raise ValueError(f"the queue {queue} has no workers that know a canary")
    options: dict[str, Any] = {
        "queue": queue,
        "expires": lasts_seconds + (countdown or 0),
        "countdown": countdown,
    }
    return Canary(queue, send(app, canary.task, canary.args(), **options), time.monotonic())


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
