"""What a worker reports of itself each time it renews its lease; its counts go to the totals of the fleet.

What a report adds is what was counted since the last one, so the totals stay when a worker ends. One that is
killed takes the counts of its last seconds along, and a report whose answer is lost is added twice.
"""

from __future__ import annotations

import json
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from celery.worker import state
from redis.exceptions import RedisError

from ibutsu_tasks.broker.layout import TOTALS, WORKER_PREFIX
from ibutsu_tasks.delivery.counts import counts
from ibutsu_tasks.delivery.held.taking import Script

if TYPE_CHECKING:
    import redis

    from ibutsu_tasks.delivery.counts import Key
    from ibutsu_tasks.delivery.held.lease import Lease

# KEYS: report of the worker, totals. ARGV: report, seconds it holds; then fields of the totals, each with
# what is added. A server out of memory refuses the first write, and what is no number begins anew.
REPORT = Script("""
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
for i = 3, #ARGV, 2 do
  local answer = redis.pcall('HINCRBYFLOAT', KEYS[2], ARGV[i], ARGV[i + 1])
  if type(answer) == 'table' and answer.err then
    if redis.call('TYPE', KEYS[2]).ok ~= 'hash' then redis.call('DEL', KEYS[2]) end
    redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1])
  end
end
""")

_told: dict[Key, float] = {}
_lock = threading.Lock()


def report(client: redis.Redis, lease: Lease, consumer: Any) -> None:
    """Report once; where Redis does not take it, the next report has it all."""
    with _lock, suppress(RedisError, OSError):
        now = counts.copy()
        new = {key: number - _told.get(key, 0) for key, number in now.items()}
        added = [text for key, more in new.items() if more for text in (json.dumps(key), repr(more))]
        about = json.dumps(_about(consumer))
        REPORT(client, (WORKER_PREFIX + lease.holder, TOTALS), about, max(round(lease.seconds), 1), *added)
        _told.update(now)


def consumed_queues(consumer: Any) -> list[str]:
    """Name the queues a worker takes messages from now; none while it has no connection."""
    tasks = consumer and consumer.task_consumer
    return [queue.name for queue in tasks.queues if tasks.consuming_from(queue)] if tasks else []


def _about(consumer: Any) -> dict[str, Any]:
    queues = consumed_queues(consumer)
    # One that ends, or was told to take nothing more, has no room.
    slots = consumer.pool.num_processes if queues else 0
    return {"slots": slots, "busy": len(state.active_requests), "queues": queues}
