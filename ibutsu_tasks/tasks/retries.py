"""Trying again what a temporary error ended: for as long as it takes, and without losing the message."""

from __future__ import annotations

import itertools
import random
from typing import TYPE_CHECKING, NoReturn

from celery.exceptions import Retry

from ibutsu_tasks.delivery.pauses import after
from ibutsu_tasks.tasks.outages import BROKER, outages, service_of
from ibutsu_tasks.tasks.shutdown import wait_in_task
from ibutsu_tasks.temporary_errors import is_temporary

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ibutsu_tasks.tasks.base import DatabaseTask

MAX_PAUSE_SECONDS = 600.0
"""Below the broker's default visibility time-out of an hour, so a waiting message is never taken for lost."""

MAX_WAIT_SECONDS = 15.0
"""The longest pause where a process waits, and does nothing else, for a service."""

TRIES_HEADER = "ibutsu_tasks_tries"
"""How often a message was sent again after a temporary error."""

FAILURES_HEADER = "ibutsu_tasks_failures"
"""How often it was after another error, which the policy of its task counts."""


def pause_seconds(tries: int, longest_seconds: float = MAX_PAUSE_SECONDS) -> float:
    """Give a pause with full jitter: anything up to 1, 2, 4, … s, at most `longest_seconds`."""
    return random.uniform(0, min(2.0 ** min(tries, 32), longest_seconds))  # noqa: S311 - not a secret


def try_again(task: DatabaseTask, error: Exception) -> NoReturn:
    """Send the message of a running task again for later. Raises Retry; Reject when the worker shuts down.

    There is no last time: an outage ends some day, and its messages are still there.
    """
    if service := service_of(error):
        outages.note(service, error)
    tries = count_in(task, TRIES_HEADER)
    send_again(task, error, pause_seconds(tries), {TRIES_HEADER: tries + 1})


def count_in(task: DatabaseTask, header: str) -> int:
    """Give the number that a header of the running message has, 0 without."""
    return int((task.request.headers or {}).get(header, 0))


def send_again(
    task: DatabaseTask, error: Exception, countdown_seconds: float, counts: Mapping[str, int]
) -> NoReturn:
    """Send the message of a running task again, with `counts` in its headers. Raises as `try_again`."""
    again = task.signature_from_request(
        task.request,
        retries=task.request.retries,
        headers={**(task.request.headers or {}), **counts},
    )

    def send() -> None:
        eta, pause = after(task.resources.redis, countdown_seconds)
        again.apply_async(eta=eta, headers=again.options["headers"] | pause)

    do_patiently(send, BROKER)
    raise Retry(exc=error, when=countdown_seconds) from error  # type: ignore[arg-type]  # Real stands for float


def do_patiently(action: Callable[[], object], service: str) -> None:
    """Do, inside a task, what must not be left out, waiting here for as long as `service` does not take it.

    Raises Reject when the worker shuts down meanwhile: the message goes back, for it was not acknowledged.
    """
    for tries in itertools.count(1):
        try:
            action()
        except Exception as error:
            if not is_temporary(error):
                raise
            outages.note(service, error)
            wait_in_task(pause_seconds(tries, MAX_WAIT_SECONDS))
        else:
            outages.end(service)
            return
