"""A worker as anybody writes one: Celery and kombu's own transport, nothing of ours."""

from __future__ import annotations

import os
import time

from celery import Celery
from redis import Redis

URL = os.environ["STOCK_BROKER_URL"]

app = Celery("stock", broker=URL, set_as_current=True)
app.conf.update(
    worker_prefetch_multiplier=2,
    task_acks_late=os.environ.get("STOCK_ACKS_LATE") == "1",
    broker_connection_retry_on_startup=True,
    broker_transport_options={
        "visibility_timeout": float(os.environ.get("STOCK_VISIBILITY_SECONDS", "3600")),
        "unacked_restore_interval": 0.2,
        "unacked_restore_throttle": 1,
    },
)


@app.task(name="stock.work")  # type: ignore[untyped-decorator]
def work(name: str, socket: str, seconds: float = 0) -> None:
    """Count that it was carried out, after a while."""
    time.sleep(seconds)
    Redis(unix_socket_path=socket).hincrby("stock-done", name)
