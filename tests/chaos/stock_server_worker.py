"""A worker of an unmodified Ibutsu server, as far as messages go: its tasks count what they are given.

Celery and kombu's own transport, early acknowledgement, nothing of ours. STOCK_TASKS names its tasks.
"""

from __future__ import annotations

import os
import time
from typing import Any

from celery import Celery
from redis import Redis

URL = os.environ["CELERY_BROKER_URL"]

app = Celery("stock", broker=URL, set_as_current=True)
app.conf.update(broker_connection_retry_on_startup=True, result_backend=URL)


def count(argument: Any = None, *_: Any, **__: Any) -> None:
    """Count an import by its id, after a while."""
    if isinstance(argument, dict):
        time.sleep(0.1)
        Redis(unix_socket_path=os.environ["STOCK_SOCKET"]).hincrby("stock-done", argument["id"])


for name in os.environ["STOCK_TASKS"].split():
    app.task(count, name=name)
