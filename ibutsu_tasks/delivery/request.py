"""Celery's request, which counts the processes that a message loses and gives the message up after the third.

Read from Celery 5.7.0 and billiard 4.3: `on_failure` calls `_retry_worker_lost` for a process that was lost.
"""

from __future__ import annotations

import json
import logging
import re
import resource
import signal
import sys
from typing import Any

from billiard.einfo import ExceptionWithTraceback  # type: ignore[attr-defined]  # not in its stubs
from celery.exceptions import Reject
from redis.exceptions import RedisError

from ibutsu_tasks.delivery.dead.losses import clear, count_loss, pause_seconds
from ibutsu_tasks.delivery.dead.poison import end_poisonous, most_losses
from ibutsu_tasks.delivery.dead.quarantine import set_aside
from ibutsu_tasks.delivery.grace import is_stopping
from ibutsu_tasks.delivery.held.message import client_of, held_as, put_back, queue_of, raw_of
from ibutsu_tasks.delivery.named_request import NamedRequest
from ibutsu_tasks.delivery.pauses import broker_now, eta_here, has_pause

logger = logging.getLogger(__name__)

BROKER_ERRORS = (RedisError, OSError)

_LOST = re.compile(r"Worker exited prematurely: (?P<end>.+?)( Job: \d+)?\.$")
_LEFT_BY_SIGNAL = re.compile(r"signal (?P<number>\d+)$")


class Request(NamedRequest):
    """A task in a worker, whose message is acknowledged, put back, or set aside with its reason."""

    _message: Any
    _refusal = ""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        if self.eta and has_pause(self.request_dict):
            with client_of(self._message) as client:
                self._eta = eta_here(self.request_dict, self.eta, broker_now(client))

    def acknowledge(self) -> None:
        """Acknowledge the message: a process has ended its work, and what was lost before counts no more."""
        if not self.acknowledged and self.delivery_info.get("redelivered"):
            try:
                with client_of(self._message) as client:
                    clear(client, raw_of(self._message))
            except BROKER_ERRORS as error:
                logger.warning("The losses of task %s[%s] were not cleared: %s", self.name, self.id, error)
        super().acknowledge()

    def reject(self, requeue: bool = False) -> None:
        """Put the message back, or set aside what Celery would drop: its task, or the worker, refuses it."""
        if not requeue and not self.acknowledged:
            eta = f" (ETA {self.eta})" if self.eta else ""
            reason = self._refusal or f"the worker refused it{eta}"
            text = json.dumps(raw_of(self._message))
            with client_of(self._message) as client:
                tag = self._message.delivery_tag
                set_aside(client, text.encode(), queue_of(self._message), reason, tag)
        super().reject(requeue)

    def on_failure(self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False) -> Any:
        """End the task; one that raised MemoryError, too, whose message Celery would hold for ever."""
        error = exc_info.exception
        error = error.exc if isinstance(error, ExceptionWithTraceback) else error
        if isinstance(error, Reject):
            self._refusal = str(error.args[0] or "its task refused it")
        if isinstance(error, MemoryError):
            exc_info.exception = RuntimeError(f"MemoryError: {error}")
        return super().on_failure(exc_info, send_failed_event, return_ok)

    def _retry_worker_lost(self, exc: BaseException, exc_info: Any) -> bool:  # noqa: ARG002 - Celery's
        """Put the message back, or give it up after its third loss; after False, Celery puts it back."""
        try:
            gave_up = self._count_loss(_end_of(exc))
        except BROKER_ERRORS:
            logger.exception("The loss of a process under task %s[%s] was not counted.", self.name, self.id)
            return False
        # Not by the method above: nothing has ended well.
        super().acknowledge()
        self.send_event("task-failed" if gave_up else "task-retried", exception=repr(exc), traceback=None)
        return True

    def _count_loss(self, ended_by: str) -> bool:
        """Count a loss and do what follows from it; say whether the message was given up."""
        raw = raw_of(self._message)
        with client_of(self._message) as client:
            held = None if is_stopping() else held_as(client, self._message)
            losses = count_loss(client, raw, held.delivery) if held else 0
            if losses >= most_losses(raw):
                facts = {"memory_at_most_bytes": _most_memory_bytes()}
                tag = self._message.delivery_tag
                end_poisonous(client, raw, queue_of(self._message), ended_by, facts, tag)
                return True
            pause = pause_seconds(losses)
            put_back(client, self._message, pause)
        told = "The process of task %s[%s] was lost by %s; it runs again in %d s."
        logger.warning(told, self.name, self.id, ended_by, pause)
        return False


def _end_of(error: BaseException) -> str:
    """Say how a process ended: `signal 9 (SIGKILL)`, or `exitcode 1`."""
    found = _LOST.match(str(error))
    end = found["end"] if found else str(error)
    # A process that ends itself by a signal's handler says 256 minus the signal (billiard 4.3).
    if (left := _LEFT_BY_SIGNAL.match(end)) and int(left["number"]) > signal.NSIG:
        number = 256 - int(left["number"])
        return f"signal {number} ({signal.Signals(number).name})"
    return end


def _most_memory_bytes() -> int:
    """Give the most memory that any of this worker's ended processes had, the lost one among them."""
    most = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return most * (1 if sys.platform == "darwin" else 1024)
