"""A worker as an unmodified Ibutsu server has it: early acknowledgement, and no lease on what it holds.

`python -m celery -A tests.stock_worker worker`: its import is in the list STOCK_AT_IT until the key
STOCK_GO_ON is there. No test imports this: the tasks of the package would be its application's, too.
"""

from __future__ import annotations

import os
import time
from typing import Any

import redis
from celery import Celery

app = Celery("stock", broker=os.environ.get("CELERY_BROKER_URL"), set_as_current=False)
app.conf.update(result_backend=os.environ.get("CELERY_BROKER_URL"), worker_prefetch_multiplier=1)


@app.task(name="ibutsu_server.tasks.importers.run_junit_import")  # type: ignore[untyped-decorator]
def run_junit_import(import_: dict[str, Any]) -> None:
    with redis.Redis.from_url(os.environ["STOCK_REDIS_URL"]) as client:
        client.rpush(os.environ["STOCK_AT_IT"], import_["id"])
        while not client.exists(os.environ["STOCK_GO_ON"]):
            time.sleep(0.05)
        client.lrem(os.environ["STOCK_AT_IT"], 0, import_["id"])
