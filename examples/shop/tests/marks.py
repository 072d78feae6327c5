"""A task package of the tests: for each queue a task that says when it begins and ends, and has a gate."""

from __future__ import annotations

import time

from celery import shared_task

from ibutsu_tasks.packages import TaskPackage
from ibutsu_tasks.tasks import DatabaseTask
from shop.package import QUEUES

PACKAGE = TaskPackage(name="marks", tasks=("marks",))

BEGAN, ENDED = "marks:began", "marks:ended"
"""Lists of `<number> <node name>`, in the order in which tasks began and ended."""

GATE = "marks:gate"
"""While there is this key, no task ends."""

# By these names, the shop's routes lead to the queues.
TASKS = {queue: "shop.mark" if queue == "celery" else f"shop.{queue}.mark" for queue in QUEUES}


def mark(self: DatabaseTask, number: int) -> None:
    """Say so, and wait at the gate."""
    redis, said = self.resources.redis, f"{number} {self.request.hostname}"
    redis.rpush(BEGAN, said)
    while redis.exists(GATE):
        time.sleep(0.02)
    redis.rpush(ENDED, said)


for name in TASKS.values():
    shared_task(name=name, bind=True, base=DatabaseTask)(mark)
