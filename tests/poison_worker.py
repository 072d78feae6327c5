"""The application of a worker with a task that only tests have, started by `tests/poisoned.py`."""

from __future__ import annotations

import os
import sys
import time
from typing import Any

from celery.exceptions import Reject

from ibutsu_tasks.celery_app import create_app_variant
from ibutsu_tasks.tasks.base import DatabaseTask
from tests.poisoned import POISON, RUNS, TOUCH

app = create_app_variant("worker")


@app.task(name=TOUCH, bind=True, base=DatabaseTask)
def touch(self: DatabaseTask, about: Any, password: str = "") -> str:  # noqa: ARG001 - shown masked
    """End as Redis says."""
    redis = self.resources.redis
    redis.hincrby(RUNS, str(about), 1)
    match (redis.hget(POISON, str(about)) or b"").decode():
        case "wait":
            time.sleep(300)
            return "waited"
        case "exit":
            sys.exit(3)
        case "memory":
            raise MemoryError("none left")
        case "refuse":
            raise Reject("it was told to", requeue=False)
        case "fail":
            raise ValueError("as it was told")
        case "":
            return "touched"
        case number:
            os.kill(os.getpid(), int(number))
            raise AssertionError("a signal that does not kill")
