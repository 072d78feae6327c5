"""Cancelling a task, whether or not a worker is there to hear it.

The message stays where it is. A worker that takes it lets go of it as of any revoked task, which ends the
import, or whatever row waits for it; a message taken away here would leave that row to be sent again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ibutsu_tasks.broker.connection import build_client
from ibutsu_tasks.broker.layout import BEAT_NODE_PREFIX, listening_nodes
from ibutsu_tasks.broker.messages import is_held
from ibutsu_tasks.broker.revocations import remember
from ibutsu_tasks.broker.workers import calling_workers
from ibutsu_tasks.sending.messages import ENDED, ResultReader, broker_errors

if TYPE_CHECKING:
    from redis import Redis

SIGNAL = "SIGTERM"


def cancel(broker_url: str, results: ResultReader, task_id: str) -> bool:
    """Keep a task from running, terminate it where it runs, and have its state be REVOKED.

    False when it has ended already, or is with a worker that does not answer, which may be running it.
    Raises BrokerUnreachableError, and ServiceUnreachableError when the result backend is gone.
    """
    if results.read(task_id)["status"] in ENDED:
        return False
    with broker_errors(broker_url), build_client(broker_url) as client:
        # First, for a worker that starts meanwhile either reads it or hears what follows.
        remember(client, task_id)
        if not _tell_workers(broker_url, client, task_id) and is_held(client, task_id):
            return False
    if results.read(task_id)["status"] in ENDED - {"REVOKED"}:
        return False
    results.mark_revoked(task_id)
    return True


def _tell_workers(broker_url: str, client: Redis, task_id: str) -> bool:
    """Tell all workers; say whether one had it, or all that heard it answered that they have not."""
    with calling_workers(broker_url) as call:
        found = call.who_listens()
        # Those that were silent hear it when they look again. A beat would log that it knows no such command.
        nodes = {*listening_nodes(client), *found.workers}
        workers = {node for node in nodes if not node.startswith(BEAT_NODE_PREFIX)}
        arguments: dict[str, Any] = {"task_id": task_id, "terminate": True, "signal": SIGNAL}
        replies = call.some("revoke", workers, len(found.workers), **arguments)
    had_it = any(task_id in str(answer.get("ok", "")) for reply in replies for answer in reply.values())
    return had_it or (found.silent <= 0 and len(replies) >= len(found.workers))
