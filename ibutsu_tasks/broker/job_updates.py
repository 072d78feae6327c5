"""Progress of running tasks on the Redis channel `job_updates`: publishing it, and listening to it.

Whoever misses an update misses nothing: the rows of `imports` say how an import ended.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from redis.exceptions import RedisError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from redis import Redis

CHANNEL = "job_updates"


@dataclass(frozen=True, slots=True)
class JobUpdate:
    """How far one import is; on the channel one JSON object with exactly these keys."""

    task_id: str
    import_id: str
    status: str
    """`running`, or what it ended with: `done` or `error`."""
    done: int
    """Bytes of the file that were read."""
    total: int
    """Bytes of the file; 0 when the import ended before it was opened."""
    worker: str
    """Node name of the worker, such as `celery@host`; empty when its process was killed."""


def publish(client: Redis, update: Mapping[str, Any]) -> None:
    """Publish an update: of an import the fields of `JobUpdate`. Raises what the client raises."""
    client.publish(CHANNEL, json.dumps(update))


def parse(data: object) -> JobUpdate | None:
    """Read what came over the channel; None for anything but an update."""
    try:
        fields: Any = json.loads(data) if isinstance(data, bytes | str) else None
        update = JobUpdate(**fields)
    except (ValueError, TypeError):
        return None
    texts = (update.task_id, update.import_id, update.status, update.worker)
    numbers = (update.done, update.total)
    fits = all(isinstance(text, str) for text in texts) and all(type(number) is int for number in numbers)
    return update if fits else None


class Listener:
    """Hears updates as long as Redis can be read; when it cannot, it only waits."""

    def __init__(self, client: Redis) -> None:
        self._subscription = cast("Any", client).pubsub(ignore_subscribe_messages=True)
        self._hears = True
        try:
            self._subscription.subscribe(CHANNEL)
        except (RedisError, OSError):
            self._hears = False

    def wait(self, wait_seconds: float) -> Iterator[JobUpdate]:
        """Yield the updates of `wait_seconds`, which pass in any case unless the caller leaves."""
        deadline = time.monotonic() + wait_seconds
        while self._hears and (left_seconds := deadline - time.monotonic()) > 0:
            if (update := self._next(left_seconds)) is not None:
                yield update
        time.sleep(max(deadline - time.monotonic(), 0))

    def heard(self) -> Iterator[JobUpdate]:
        """Yield the updates that have arrived, without waiting."""
        while self._hears and (update := self._next(0)) is not None:
            yield update

    def _next(self, wait_seconds: float) -> JobUpdate | None:
        try:
            message = self._subscription.get_message(timeout=wait_seconds)
        except (RedisError, OSError):
            self._hears = False
            return None
        return parse(message["data"]) if message else None

    def close(self) -> None:
        """Stop listening."""
        self._subscription.close()
