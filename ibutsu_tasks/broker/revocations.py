"""Which tasks were cancelled, as Redis remembers it: a worker that starts later learns it from here.

Celery's workers know it from a broadcast alone: who was not there has not heard it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ibutsu_tasks.broker.layout import REVOKED

if TYPE_CHECKING:
    from redis import Redis

KEPT_SECONDS = 30 * 86_400
"""A message that waits longer than this is carried out although it was cancelled."""


def remember(client: Redis, task_id: str) -> None:
    """Write down that a task was cancelled, and forget those of long ago. Raises what the client raises."""
    now = _now(client)
    pipeline = client.pipeline()
    pipeline.zadd(REVOKED, {task_id: now})
    pipeline.zremrangebyscore(REVOKED, "-inf", now - KEPT_SECONDS)
    pipeline.execute()


def remembered(client: Redis) -> list[str]:
    """Give the ids of the tasks that were cancelled. Raises what the client raises."""
    ids: Any = client.zrangebyscore(REVOKED, _now(client) - KEPT_SECONDS, "+inf")
    return [one.decode("utf-8", "replace") for one in ids]


def _now(client: Redis) -> int:
    answer: Any = client.time()
    return int(answer[0])
