"""The line about the failover: a worker is asked to stop, another does its work, and it is replaced.

The work is a canary for a few seconds later, which the worker has taken and holds until then. Asked to stop,
the worker puts it back, and another carries it out.
"""

from __future__ import annotations

import itertools
import time
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from ibutsu_tasks.broker.layout import HELD_PREFIX, HOLDERS, UNACKED
from ibutsu_tasks.celery_app import create_client_app
from ibutsu_tasks.deployment.canary import is_fit, send_canary
from ibutsu_tasks.deployment.fleet import named
from ibutsu_tasks.doctor.report import Finding, finding
from ibutsu_tasks.errors import WaitTimeoutError
from ibutsu_tasks.sending.messages import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from celery import Celery
    from redis import Redis

    from ibutsu_tasks.broker.workers import Call
    from ibutsu_tasks.deployment.canary import Canary
    from ibutsu_tasks.deployment.fleet import Fleet, Worker
    from ibutsu_tasks.settings import Settings

AHEAD_SECONDS = 5.0
"""How far ahead the canary is due: a worker has it long enough to be found and asked to stop."""

TAKEN_SECONDS = 3.0
MOST_CANARIES = 10
LOOK_SECONDS = 0.1


class Held(NamedTuple):
    """A canary, and the lease of the worker that holds it."""

    canary: Canary
    holder: str

    @property
    def node(self) -> str:
        """The worker's name."""
        return _node_of(self.holder)


def check_failover(
    settings: Settings, fleet: Fleet, client: Redis, call: Call, wait_seconds: float | None
) -> Finding:
    """Try it when it was asked for. Raises ServiceUnreachableError, and what the client of Redis raises."""
    if wait_seconds is None:
        return finding("IBT-A88", "Not tried: --failover asks for it.")
    if not fleet.ours:
        return finding("IBT-A88", "Not tried: no worker of this package answers.")
    if refusal := _refusal(fleet):
        return finding("IBT-A81", refusal, "Start another `ibutsu-tasks worker`, and ask again.")
    before = live_holders(client)
    with closing(create_client_app(settings)) as app:
        held = _have_one_held(app, fleet, client, wait_seconds)
        if held is None:
            seen = "Nobody was asked to stop: no worker that may be took a task within a few seconds."
            return finding("IBT-A82", seen, "Try again when they are less busy.")
        call.some("shutdown", [held.node])
        return (
            _not_ended(client, held, wait_seconds)
            or _not_done(app, settings, held, wait_seconds)
            or _judge_replacement(client, held, before, wait_seconds)
        )


def _not_ended(client: Redis, held: Held, wait_seconds: float) -> Finding | None:
    """Wait for it to put back what it holds, before that is due, and to end."""
    left_seconds = held.canary.sent + AHEAD_SECONDS - time.monotonic()
    is_back = _until(lambda: _holder_of(client, held.canary.task_id) != held.holder, left_seconds)
    if is_back and _until(lambda: held.holder not in live_holders(client), wait_seconds):
        return None
    what = f"is still there after {wait_seconds:g} s" if is_back else "has not put back what it held"
    return finding(
        "IBT-A83",
        f"{held.node} was asked to stop and {what}.",
        "Its running task may need the whole grace period: --wait SECONDS gives it longer.",
    )


def _not_done(app: Celery, settings: Settings, held: Held, wait_seconds: float) -> Finding | None:
    """Wait for another to do its work."""
    task_id, why = held.canary.task_id, ""
    try:
        outcome = wait_for(app, settings.backend_url or "", task_id, AHEAD_SECONDS + wait_seconds)
        if outcome.succeeded:
            return None
        why = f": {outcome.error}"
    except WaitTimeoutError:
        pass
    return finding(
        "IBT-A84",
        f"{held.node} was stopped, and nobody did the task that it held{why}.",
        "`ibutsu-tasks doctor --only workers,held` says who works and what is held.",
    )


def _judge_replacement(client: Redis, held: Held, before: set[str], wait_seconds: float) -> Finding:
    """Wait for a worker that was not there before."""
    others = {_node_of(holder) for holder in before} - {held.node}
    new: set[str] = set()

    def is_replaced() -> bool:
        # A worker that was there and has connected anew has another lease, too.
        new.update(_node_of(holder) for holder in live_holders(client) - before)
        return bool(new - others)

    if not _until(is_replaced, wait_seconds):
        return finding(
            "IBT-A85",
            f"{held.node} was stopped, its work done by another, and not replaced within {wait_seconds:g} s.",
            "Run workers under what starts them again, also after exit code 0, or give --wait SECONDS.",
        )
    seen = f"{held.node} was stopped, its work done by another; {named(new - others)} took its place."
    return finding("IBT-A80", seen)


def _refusal(fleet: Fleet) -> str:
    """Say why nobody may be asked to stop."""
    if len(fleet.online) == 1:
        return "Refused: with one worker alone, stopping it would stop all work."
    if not any(is_fit(fleet, queue) for worker in fleet.ours for queue in worker.queues):
        return "Refused: no queue has workers that all know the task that would be sent."
    if not any(_may_stop(fleet, worker) for worker in fleet.ours):
        return "Refused: each worker is the only one of a queue."
    return ""


def _may_stop(fleet: Fleet, worker: Worker) -> bool:
    return all(len(fleet.consumers(queue)) > 1 for queue in worker.queues)


def _have_one_held(app: Celery, fleet: Fleet, client: Redis, wait_seconds: float) -> Held | None:
    """Send canaries until one is held by a worker that may stop."""
    may_stop = [worker for worker in fleet.ours if _may_stop(fleet, worker)]
    stoppable = {worker.node for worker in may_stop}
    queues = sorted({queue for worker in may_stop for queue in worker.queues if is_fit(fleet, queue)})
    for queue in itertools.islice(itertools.cycle(queues), MOST_CANARIES):
        canary = send_canary(app, fleet, queue, wait_seconds, AHEAD_SECONDS)
        _until(partial(_holder_of, client, canary.task_id), TAKEN_SECONDS)
        holder = _holder_of(client, canary.task_id)
        if holder and _node_of(holder) in stoppable:
            return Held(canary, holder)
    return None


def live_holders(client: Redis) -> set[str]:
    """Name the leases that last, each of a worker of this package that takes messages."""
    answer: Any = client.zrangebyscore(HOLDERS, client.time()[0], "+inf")
    return {holder.decode("utf-8", "replace") for holder in answer}


def _holder_of(client: Redis, task_id: str) -> str | None:
    """Find who holds the message of a task."""
    for holder in live_holders(client):
        tags: Any = client.hkeys(HELD_PREFIX + holder)
        messages: Any = client.hmget(UNACKED, tags) if tags else ()
        if any(task_id.encode() in message for message in messages if message):
            return holder
    return None


def _node_of(holder: str) -> str:
    return holder.rpartition(":")[0]


def _until(condition: Callable[[], object], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not (holds := bool(condition())) and time.monotonic() < deadline:
        time.sleep(LOOK_SECONDS)
    return holds
