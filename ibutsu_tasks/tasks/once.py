"""One run for all messages that ask for the same work, as far as Redis remembers it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu.utils.json import dumps, loads

from ibutsu_tasks.broker.layout import ONCE_PREFIX
from ibutsu_tasks.errors import BusyError

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis import Redis

LONGEST_RUN_SECONDS = 86_400
"""For how long a claim stands whose worker never comes back; the same message, delivered again, has it."""

_CLAIM = """
local value = redis.call('GET', KEYS[1])
if value and value ~= ARGV[1] then return value end
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
return ''
"""

_SETTLE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[2] == '' then return redis.call('DEL', KEYS[1]) end
redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
return 1
"""


def run_once(client: Redis, name: str, task_id: str, run: Callable[[], Any], kept_seconds: float) -> Any:
    """Run, or give the result of the run that succeeded under the same name within `kept_seconds`.

    Raises BusyError, which is temporary, while another message runs under it; and what `run` raises.
    """
    place, claim = f"{ONCE_PREFIX}{name}", _claim_of(task_id)
    known: Any = client.eval(_CLAIM, 1, place, claim, str(LONGEST_RUN_SECONDS))
    if known:
        told = loads(known)
        if "result" in told:
            return told["result"]
        raise BusyError(f"The same work is being done by task {told['task_id']}.")
    try:
        result = run()
        # As the result backend writes it, dates and decimals among it.
        done = dumps({"task_id": task_id, "result": result})
    except Exception:
        give_up(client, name, task_id)
        raise
    client.eval(_SETTLE, 1, place, claim, done, str(max(1, round(kept_seconds))))
    return result


def give_up(client: Redis, name: str, task_id: str) -> None:
    """Let others begin, where a task has the claim and will not come back to it."""
    client.eval(_SETTLE, 1, f"{ONCE_PREFIX}{name}", _claim_of(task_id), "", "0")


def _claim_of(task_id: str) -> str:
    return str(dumps({"task_id": task_id}))
