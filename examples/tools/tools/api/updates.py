"""The updates of jobs as server-sent events: what tasks tell on `job_updates`, and what rows say besides."""

from __future__ import annotations

import asyncio
import json
import threading
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, cast

from fastapi.concurrency import run_in_threadpool
from redis.exceptions import RedisError

from ibutsu_tasks.broker.connection import build_client
from ibutsu_tasks.broker.job_updates import CHANNEL
from ibutsu_tasks.errors import ServiceUnreachableError
from tools.models import ENDED

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

LOOK_SECONDS = 2.0
"""How often the row is read: of a job without a broker, and of updates that were missed."""

WAIT_SECONDS = 1.0

GIVEN_UP = "error"
"""What workers tell of a task that was revoked, over its hard limit or lost: its row says more."""

MOST_KEPT = 1000
"""Updates kept for a client that does not read them; it is not told of more."""


class Updates:
    """One subscription for all clients, in a thread of its own."""

    def __init__(self, broker_url: str) -> None:
        self._broker_url = broker_url
        self._is_over = threading.Event()
        self._queues: dict[asyncio.Queue[dict[str, Any]], str | None] = {}

    @contextmanager
    def heard(self) -> Iterator[None]:
        """Listen while the block runs."""
        thread = threading.Thread(target=self._listen, args=(asyncio.get_running_loop(),), daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._is_over.set()
            thread.join(2 * WAIT_SECONDS)

    @contextmanager
    def queue(self, job_id: str | None) -> Iterator[asyncio.Queue[dict[str, Any]]]:
        """Give a queue of what comes, of all jobs or of one."""
        queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue(MOST_KEPT)
        self._queues[queue] = job_id
        try:
            yield queue
        finally:
            del self._queues[queue]

    def _listen(self, loop: asyncio.AbstractEventLoop) -> None:
        while not self._is_over.is_set():
            try:
                with closing(build_client(self._broker_url)) as client:
                    self._forward(cast("Any", client).pubsub(ignore_subscribe_messages=True), loop)
            except (RedisError, OSError):
                self._is_over.wait(WAIT_SECONDS)

    def _forward(self, subscription: Any, loop: asyncio.AbstractEventLoop) -> None:
        with closing(subscription):
            subscription.subscribe(CHANNEL)
            while not self._is_over.is_set():
                message = subscription.get_message(timeout=WAIT_SECONDS)
                if message and (update := _read(message["data"])):
                    loop.call_soon_threadsafe(self._give, update)

    def _give(self, update: dict[str, Any]) -> None:
        for queue, job_id in self._queues.items():
            if job_id in {None, update["job_id"]} and not queue.full():
                queue.put_nowait(update)


def _read(text: bytes) -> dict[str, Any] | None:
    """Read an update of a job; others tell of their work on the same channel."""
    try:
        update = json.loads(text)
    except ValueError:
        return None
    return update if isinstance(update, dict) and "job_id" in update and "status" in update else None


async def events(updates: Updates, job_id: str | None, read: Callable[[], Any]) -> AsyncIterator[str]:
    """Give the events of one client: of all jobs, or of one until it has ended, whose row `read` gives."""
    known: dict[str, Any] = {}
    status = ""
    with updates.queue(job_id) as queue:
        while status not in ENDED:
            update = await _next(queue) if known or job_id is None else None
            if job_id is not None and (update is None or update["status"] == GIVEN_UP):
                update = await _look(read)
                update, known = None if update == known else update, update or known
            # A comment, which shows whether the client is still there.
            yield f"data: {json.dumps(update)}\n\n" if update else ":\n\n"
            if update and job_id is not None:
                status = update["status"]


async def _next(queue: asyncio.Queue[dict[str, Any]]) -> dict[str, Any] | None:
    try:
        async with asyncio.timeout(LOOK_SECONDS):
            return await queue.get()
    except TimeoutError:
        return None


async def _look(read: Callable[[], Any]) -> dict[str, Any] | None:
    try:
        row: dict[str, Any] = await run_in_threadpool(read)
    except ServiceUnreachableError:
        await asyncio.sleep(LOOK_SECONDS)
        return None
    return row
