"""A worker as an unmodified Ibutsu server has it: early acknowledgement, and no lease on what it holds.

`python -m celery -A tests.stock_worker worker`: its import works until the key `stock:go-on` is there.
"""

from __future__ import annotations

import os
import time
from typing import Any

import redis
from celery import Celery

GO_ON = "stock:go-on"
AT_IT = "stock:at-it"

app = Celery("stock", broker=os.environ.get("CELERY_BROKER_URL"), set_as_current=False)
app.conf.update(result_backend=os.environ.get("CELERY_BROKER_URL"), worker_prefetch_multiplier=1)


@app.task(name="ibutsu_server.tasks.importers.run_junit_import")  # type: ignore[untyped-decorator]
def run_junit_import(import_: dict[str, Any]) -> None:
    with redis.Redis.from_url(os.environ["STOCK_REDIS_URL"]) as client:
        client.rpush(AT_IT, import_["id"])
        while not client.exists(GO_ON):
            time.sleep(0.05)
        client.lrem(AT_IT, 0, import_["id"])
