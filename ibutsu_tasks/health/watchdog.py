"""The watchdog of a worker: it ends one that has room and receives nothing while messages are waiting.

It looks from a thread, so that a loop that hangs is noticed too. Queues that are paused, messages for later
and a broker that does not answer are no suspicion.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any

from celery import bootsteps
from celery.worker import state as celery_state

from ibutsu_tasks.broker.layout import queue_depth
from ibutsu_tasks.delivery.report import consumed_queues
from ibutsu_tasks.health import WEDGED

if TYPE_CHECKING:
    from redis import Redis

logger = logging.getLogger(__name__)

# The stubs know neither all of it nor that it changes.
state: Any = celery_state

CLOSED: frozenset[int] = frozenset({vars(bootsteps)["CLOSE"], vars(bootsteps)["TERMINATE"]})

PATIENCE_SECONDS = 60.0
STRIKES = 2
"""So often in a row; the first may be a process that was stopped and woke up."""

OBEY_SECONDS = 30.0
"""What the loop is given to end in order."""


class Watchdog:
    """Watches over one worker; `look` is called every few seconds."""

    def __init__(self, worker: Any, patience_seconds: float | None = None) -> None:
        self._worker = worker
        self._patience_seconds = patience_seconds or PATIENCE_SECONDS
        self._received, self._since, self._strikes = 0, time.monotonic(), 0

    def look(self, client: Redis) -> None:
        """Ask how many messages are waiting, and judge. Raises RedisError when the broker does not answer."""
        is_starving = False
        try:
            is_starving = self._is_starving(client)
        finally:
            if self._judge(is_starving, time.monotonic()):
                self._end_worker()

    def _is_starving(self, client: Redis) -> bool:
        waiting = sum(queue_depth(client, queue) for queue in consumed_queues(self._worker.consumer))
        if not waiting:
            client.ping()
        return bool(waiting) and has_room(self._worker) and not is_ending(self._worker)

    def _judge(self, is_starving: bool, now: float) -> bool:
        """Tell whether that was the last strike."""
        received = self._worker.consumer.received
        if not is_starving or received != self._received:
            self._received, self._since, self._strikes = received, now, 0
        elif now - self._since >= self._patience_seconds:
            self._since, self._strikes = now, self._strikes + 1
            logger.warning(
                "Messages are waiting, and this worker has room and received none for %.0f s.",
                self._patience_seconds * self._strikes,
            )
        return self._strikes >= STRIKES

    def _end_worker(self) -> None:
        logger.critical("This worker consumes nothing and ends, with code %s, to be started anew.", WEDGED)
        log_stacks()
        state.should_stop = WEDGED
        deadline = time.monotonic() + OBEY_SECONDS
        while self._worker.exitcode != WEDGED:
            if time.monotonic() > deadline:
                logger.critical("Its loop does not even end: the process is cut off.")
                os._exit(WEDGED)
            time.sleep(0.1)


def has_room(worker: Any) -> bool:
    """Tell whether a process of the pool is free, by the worker's own books, and messages may come.

    Messages for later take no process, but a worker holds a limited number.
    """
    is_full_of_later = len(state.scheduled_requests) >= worker.app.conf.worker_eta_task_limit
    return len(state.reserved_requests) < worker.pool.num_processes and not is_full_of_later


def is_ending(worker: Any) -> bool:
    """Tell whether a worker is on its way out: its loop turns no more, and its last tasks may still run."""
    asked = (state.should_stop, state.should_terminate)
    is_closed = worker.blueprint.state in CLOSED
    return is_closed or any(one is not None and one is not False for one in asked)


def log_stacks() -> None:
    """Log where every thread stands."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    for ident, frame in sys._current_frames().items():  # noqa: SLF001 - there is no other way
        stack = _as_traceback(frame)
        about = RuntimeError(f"this is where {names.get(ident, ident)} stands")
        logger.critical("thread %s", names.get(ident, ident), exc_info=(RuntimeError, about, stack))


def _as_traceback(frame: FrameType | None) -> TracebackType | None:
    """Turn a stack into what a log line may have below it."""
    stack = None
    while frame is not None:
        stack = TracebackType(stack, frame, frame.f_lasti, frame.f_lineno)
        frame = frame.f_back
    return stack
