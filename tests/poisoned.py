"""A worker whose tasks end as Redis says, spoken to in the bytes of Celery's messages."""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from ibutsu_tasks.delivery.dead.quarantine import read_set_aside
from tests.commands import Running, until
from tests.worker_system import message_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from redis import Redis

    from ibutsu_tasks.delivery.dead.quarantine import DeadMessage

TOUCH = "tests.touch"

POISON = "tests:poison"
"""A hash: what a task is about → a signal's number, `exit`, `memory`, `fail`, `refuse`, `wait`; else it
ends well."""

RUNS = "tests:runs"
"""A hash: what a task is about → how often it began."""


def touch_message(about: str, **kwargs: str) -> tuple[str, str]:
    """Give a task's id and its message; values are JSON text."""
    task_id, message = message_text("", json.dumps(about), **kwargs)
    return task_id, message.replace('"ibutsu_server.tasks."', json.dumps(TOUCH))


class Poisoned:
    """What a test says to the workers, and sees of them, through their Redis."""

    def __init__(self, client: Redis) -> None:
        self.client = client

    def poison(self, about: str, end: str | int) -> None:
        """Have the tasks about something end so from now on."""
        self.client.hset(POISON, about, end)

    def send(self, about: str, **kwargs: str) -> str:
        """Send a message; give the task's id."""
        task_id, message = touch_message(about, **kwargs)
        self.client.lpush("celery", message)
        return task_id

    def outcome(self, task_id: str) -> dict[str, Any]:
        key = f"celery-task-meta-{task_id}"
        until(lambda: json.loads(self.client.get(key) or b"{}").get("status") in {"SUCCESS", "FAILURE"})
        return dict(json.loads(self.client.get(key) or b"{}"))

    def runs(self, about: str) -> int:
        """Count how often a task about it began."""
        return int(self.client.hget(RUNS, about) or 0)

    def losses(self) -> list[int]:
        """Give the counts of all that lost a process."""
        keys = list(self.client.scan_iter("ibutsu-tasks:losses:*"))
        return [int(self.client.hget(key, "losses") or 0) for key in keys]

    def dead(self) -> list[DeadMessage]:
        return list(read_set_aside(self.client))

    def wait_until_settled(self) -> None:
        """Wait until no message waits, and none is held."""
        until(self._is_settled)
        assert self._is_settled()

    def _is_settled(self) -> bool:
        return not self.client.llen("celery") and not self.client.hlen("unacked")


@contextmanager
def poison_worker(env: Mapping[str, str], *options: str) -> Iterator[Running]:
    """Run a worker with two processes, with `tests.touch` among its tasks."""
    node = f"--hostname={uuid4().hex[:8]}@localhost"
    argv = (sys.executable, "-m", "celery", "-A", "tests.poison_worker", "worker", "-c", "2", node, *options)
    with Running(*argv, env=env) as worker:
        worker.wait_for(" ready.")
        yield worker
        print(worker.output)  # noqa: T201 - shown when a test fails
