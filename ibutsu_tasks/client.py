"""The API of producers: send a task, ask how it fares, cancel it.

    from ibutsu_tasks.client import send, status, cancel

    sent = send("update_run", ["6f2c2c1e-0b5e-4f6e-9a3e-0d7f6c1a2b3c"], priority=9)
    sent.status().state  # PENDING, STARTED, SUCCESS, ...

The functions share one `Client` per process, made on first use from `load_settings()`: the same variables as
a worker's. Everything here may be called from any thread and after a fork. What another Celery application of
the process is, it stays.
"""

from __future__ import annotations

import atexit
import concurrent.futures.thread  # noqa: F401 - its own end is registered before ours, and so comes after it
import logging
import os
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any
from uuid import uuid4
from weakref import WeakSet

from ibutsu_tasks.errors import BrokerUnreachableError, TaskArgumentsError, UsageError
from ibutsu_tasks.packages import HIGHEST_PRIORITY, broker_priority, loaded
from ibutsu_tasks.sending import messages
from ibutsu_tasks.sending.arguments import TaskSignature, check_arguments, find_task, signatures_of
from ibutsu_tasks.sending.cancelling import cancel as cancel_message
from ibutsu_tasks.sending.connections import BrokerOutage, Connections
from ibutsu_tasks.sending.status import Status, status_of
from ibutsu_tasks.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ibutsu_tasks.sending.background import Call
    from ibutsu_tasks.settings import Settings

__all__ = ["Client", "Sent", "Status", "cancel", "send", "status"]

logger = logging.getLogger(__name__)

MAX_COUNTDOWN_SECONDS = 365 * 24 * 3600


@dataclass(frozen=True, slots=True)
class Sent:
    """A task that was sent; `is_local` where it runs in this process, for want of a broker."""

    task_id: str
    is_local: bool
    _client: Client = field(repr=False, compare=False)
    _call: Call | None = field(default=None, repr=False, compare=False)

    def status(self) -> Status:
        """Say how it fares. Raises as `Client.status`."""
        return self._client.status(self.task_id) if self._call is None else self._call.status


class Client:
    """Sends tasks by the settings given. Nothing connects before first use."""

    def __init__(self, settings: Settings) -> None:
        """Raise SettingsError when tasks are to run here without a broker, and no database is named."""
        if settings.local_fallback:
            settings.require_database()
        self._settings = settings
        self._begin()
        _clients.add(self)

    def _begin(self) -> None:
        """Begin, or begin anew after a fork: connections, threads and locks are the parent's."""
        self._here = Connections(self._settings)
        self._outage = BrokerOutage()

    @cached_property
    def _tasks(self) -> list[TaskSignature]:
        return _signatures_here()

    def send(
        self,
        task: str,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        queue: str | None = None,
        priority: int | None = None,
        countdown_seconds: float | None = None,
    ) -> Sent:
        """Send a task by its short or full name, with arguments that JSON can hold.

        They are checked against the task where a loaded package has it; a full name that none has is sent as
        it stands. Queue and `priority` (0 to 9, 9 first) are those of the task's route unless given. Where
        IBUTSU_TASKS_LOCAL_FALLBACK is on and the broker is away, the task runs in a thread of this process,
        in the order of sending, whatever its queue and priority; a message the broker took without saying so
        is then carried out a second time.

        Raises TaskArgumentsError; UsageError for a short name that no task has, another priority, or a
        countdown that is not from 0 to a year; within seconds BrokerUnreachableError, also where the broker
        is away and no package here has the task; and SettingsError when no broker is named.
        """
        if priority is not None and priority not in range(HIGHEST_PRIORITY + 1):
            raise UsageError(f"The priority {priority!r} is not a whole number from 0 to {HIGHEST_PRIORITY}.")
        if countdown_seconds is not None and not 0 <= countdown_seconds <= MAX_COUNTDOWN_SECONDS:
            raise UsageError(
                f"The countdown {countdown_seconds!r} is not from 0 to {MAX_COUNTDOWN_SECONDS} s."
            )
        name, given = self._check(task, args, kwargs or {})
        task_id = str(uuid4())

        def publish() -> None:
            messages.send(
                self._here.app(),
                name,
                *given,
                task_id=task_id,
                queue=queue,
                priority=broker_priority(priority),
                countdown=countdown_seconds,
            )

        if not self._settings.local_fallback:
            publish()
        elif error := self._try(publish):
            background = self._here.background()
            if not background.has_task(name):
                raise BrokerUnreachableError(str(error), f"No package of this process has the task {name}.")
            call = background.add(task_id, name, *given, countdown_seconds or 0)
            return Sent(task_id, is_local=True, _client=self, _call=call)
        return Sent(task_id, is_local=False, _client=self)

    def status(self, task_id: str) -> Status:
        """Say how a task fares.

        Raises UsageError for an empty id, and ServiceUnreachableError when the result backend is gone.
        """
        _check_id(task_id)
        if call := self._here.call(task_id):
            return call.status
        return status_of(self._here.results().read(task_id), self._settings.mask)

    def cancel(self, task_id: str) -> bool:
        """Keep a waiting task from running, terminate a running one; its state becomes REVOKED.

        A message that waits stays in its queue until a worker lets go of it, which ends an import, or
        whatever row waits for the task; where no worker is there, the next one of ours does so, for thirty
        days. An unmodified server's worker that starts later knows nothing of it. An id that nobody knows
        counts as waiting.

        False when the task has ended already, when a worker that does not answer may be running it, or when
        it runs in this process. Raises UsageError for an empty id, BrokerUnreachableError, and
        ServiceUnreachableError when the result backend is gone.
        """
        _check_id(task_id)
        if call := self._here.call(task_id):
            return self._here.background().cancel(call)
        return cancel_message(self._settings.require_broker(), self._here.results(), task_id)

    def close(self) -> None:
        """Wait for tasks that run in this process, as its end does, and close all connections.

        They are given IBUTSU_TASKS_GRACE_SECONDS; what has not ended then is named in the log.
        """
        self._here.close(self._settings.worker_grace_seconds)

    def _check(
        self, task: str, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> tuple[str, tuple[list[Any], dict[str, Any]]]:
        """Find the task, and give its arguments as a worker gets them."""
        # A text and a mapping are sequences of what nobody meant.
        if isinstance(args, str | bytes | Mapping) or not isinstance(kwargs, Mapping):
            raise TaskArgumentsError("Arguments are given as a list, and named ones as a mapping.")
        given = messages.through_json(list(args)), messages.through_json(dict(kwargs))
        if "." in task and not any(one.wire_name == task for one in self._tasks):
            return task, given
        found = find_task(task, self._tasks)
        check_arguments(found, *given)
        return found.wire_name, given

    def _try(self, publish: Callable[[], None]) -> BrokerUnreachableError | None:
        """Publish, unless the broker was away a moment ago; give what went wrong."""
        if error := self._outage.known():
            return error
        began = time.monotonic()
        try:
            if self._settings.broker_url:
                publish()
                self._outage.end()
                return None
            error = BrokerUnreachableError("CELERY_BROKER_URL is not set.")
        except BrokerUnreachableError as raised:
            error = raised
        self._outage.note(error, time.monotonic() - began)
        return error


def send(
    task: str,
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    *,
    queue: str | None = None,
    priority: int | None = None,
    countdown_seconds: float | None = None,
) -> Sent:
    """Send a task, as `Client.send`."""
    return _own.client().send(
        task, args, kwargs, queue=queue, priority=priority, countdown_seconds=countdown_seconds
    )


def status(task_id: str) -> Status:
    """Say how a task fares, as `Client.status`."""
    return _own.client().status(task_id)


def cancel(task_id: str) -> bool:
    """Cancel a task, as `Client.cancel`."""
    return _own.client().cancel(task_id)


def _check_id(task_id: str) -> None:
    if not task_id:
        raise UsageError("The id of a task is empty.", "Give the task_id of what `send` returned.")


def _signatures_here() -> list[TaskSignature]:
    found: list[TaskSignature] = []
    for package in loaded().packages:
        try:
            found += signatures_of(package)
        except Exception as error:  # noqa: BLE001 - whatever its modules do when they are imported
            told = "The tasks of the package %s are sent unchecked, for they cannot be imported here: %s"
            logger.warning(told, package.name, error)
    return found


class _Own:
    """The client of the functions."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._client: Client | None = None

    def client(self) -> Client:
        """Give it. Raises SettingsError as `load_settings` and `Client` do."""
        with self._lock:
            if self._client is None:
                self._client = Client(load_settings())
            return self._client

    def forget(self) -> None:
        """Begin anew after a fork, in which another thread may have held the lock."""
        self._lock = threading.Lock()


_clients: WeakSet[Client] = WeakSet()
_own = _Own()


def _begin_anew() -> None:
    _own.forget()
    for client in _clients:
        client._begin()  # noqa: SLF001


os.register_at_fork(after_in_child=_begin_anew)


def _close_all() -> None:
    for client in list(_clients):
        client.close()


# Where Python has it, first of all that is done at the end: afterwards no executor takes work any more, which
# tasks may need. Then once more, for threads that are waited for in between may send, too.
getattr(threading, "_register_atexit", atexit.register)(_close_all)
atexit.register(_close_all)
