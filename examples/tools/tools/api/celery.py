"""What workers are there, and what waits and runs. Every answer comes within ten seconds, or is an error."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

from ibutsu_tasks.broker.layout import queue_names, redis_lists
from ibutsu_tasks.broker.workers import REPLY_SECONDS, calling_workers
from ibutsu_tasks.delivery.dead.content import content_of
from ibutsu_tasks.sending.messages import broker_errors

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis import Redis

    from ibutsu_tasks.settings import Settings

MOST_WAITING = 200
"""Messages shown of each list in Redis, those first that are next."""

STATES = {"active": "running", "reserved": "fetched", "scheduled": "waiting for its time"}
"""Celery's questions, in the order in which a task would pass through them backwards."""


def list_workers(broker_url: str) -> dict[str, Any]:
    """Ask the workers what they are. Raises BrokerUnreachableError."""
    with broker_errors(broker_url), calling_workers(broker_url, REPLY_SECONDS) as call:
        found = call.who_listens()
        stats = _by_node(call.some("stats", found.workers))
        queues = _by_node(call.some("active_queues", found.workers))
    workers = [_worker(name, queues.get(name), stats.get(name, {})) for name in found.workers]
    return {"workers": workers, "silent": found.silent}


def _worker(name: str, queues: object, stats: dict[str, Any]) -> dict[str, Any]:
    pool = stats.get("pool", {})
    most_tasks = pool.get("max-tasks-per-child")
    return {
        "name": name,
        "queues": sorted(queue_names(queues)),
        "processes": pool.get("max-concurrency"),
        # Celery has a word for none.
        "tasks_per_process": most_tasks if isinstance(most_tasks, int) else None,
        "prefetched": stats.get("prefetch_count"),
    }


def list_tasks(settings: Settings, client: Redis) -> dict[str, Any]:
    """List what workers have and what waits in the queues. Raises BrokerUnreachableError."""
    broker_url = settings.require_broker()
    with broker_errors(broker_url):
        # First: a message on its way meanwhile is shown twice, and never missing.
        tasks = {one["task_id"]: one for one in _waiting(settings, client)}
        with calling_workers(broker_url, REPLY_SECONDS) as call:
            found = call.who_listens()
            for question in reversed(STATES):
                for node, requests in _by_node(call.some(question, found.workers)).items():
                    tasks |= {one["task_id"]: one for one in _at(node, STATES[question], requests)}
    return {"tasks": list(tasks.values()), "silent": found.silent}


def _by_node(replies: list[Any]) -> dict[str, Any]:
    return {str(node): answer for reply in replies for node, answer in reply.items()}


def _at(node: str, state: str, requests: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for one in requests:
        request = one.get("request", one)
        job_id = next(iter(request["args"]), None) if request["name"] == "tools.run_tool" else None
        yield _task(request["id"], request["name"], job_id, state, worker=node)


def _waiting(settings: Settings, client: Redis) -> Iterator[dict[str, Any]]:
    for queue in settings.consumed_queues:
        for name in redis_lists(queue):
            # They leave on the right.
            for text in reversed(cast("list[bytes]", client.lrange(name, -MOST_WAITING, -1))):
                content = content_of(_read(text))
                yield _task(content.task_id, content.task, content.about, "waiting", queue=queue)


def _read(text: bytes) -> dict[str, Any]:
    try:
        message = json.loads(text)
    except ValueError:
        return {}
    return message if isinstance(message, dict) else {}


def _task(task_id: object, task: object, job_id: object, state: str, **where: str) -> dict[str, Any]:
    return {"task_id": task_id, "task": task, "job_id": job_id, "state": state, **where}
