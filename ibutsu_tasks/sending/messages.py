"""Publishing messages within a few seconds or not at all, and asking who consumes them and what came of them.

The application comes from `celery_app.create_client_app`, whose every step has a time limit.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

from celery import states
from celery.app.backends import by_url
from celery.exceptions import BackendError, TaskRevokedError
from kombu.exceptions import KombuError
from kombu.utils.json import dumps, loads
from redis.exceptions import RedisError

from ibutsu_tasks.broker.connection import address_of, describe
from ibutsu_tasks.broker.failures import unreachable
from ibutsu_tasks.broker.layout import queue_names
from ibutsu_tasks.errors import (
    IbutsuTasksError,
    ServiceUnreachableError,
    TaskArgumentsError,
    WaitTimeoutError,
)
from ibutsu_tasks.settings.masking import Masker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from celery import Celery

PING_SECONDS = 1.0
"""A worker answers in milliseconds; the rest is for a loaded machine."""

FIRST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 1.0
PAUSE_GROWTH = 1.3

ENDED = frozenset({"SUCCESS", "FAILURE", "REVOKED"})


@dataclass(frozen=True, slots=True)
class TaskOutcome:
    """How a task ended: its JSON result, or one sentence and the worker's traceback."""

    task_id: str
    succeeded: bool
    result: Any = None
    error: str | None = None
    traceback: str | None = None


def send(
    app: Celery,
    task_name: str,
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    **options: Any,
) -> str:
    """Publish one message, with `options` of `send_task`, and give the task's id. Nothing is checked here.

    Raises BrokerUnreachableError when the broker is gone or does not take it.
    """
    with _errors_of(app):
        result = app.send_task(task_name, tuple(args), dict(kwargs or {}), **options)
    return str(result.id)


def through_json(value: Any) -> Any:
    """Give a value as the other side of a message gets it: a list for a tuple, for instance.

    Raises TaskArgumentsError when a message cannot hold it.
    """
    try:
        return loads(dumps(value))
    except (TypeError, ValueError, RecursionError) as error:
        raise TaskArgumentsError(f"A message cannot hold this value: {error}.") from None


def queue_of(app: Celery, task_name: str, queue: str | None = None) -> str:
    """Name the queue that a message goes to: the one given, else that of the task's route."""
    return queue or str(app.amqp.router.route({}, task_name)["queue"].name)


def check_broker(app: Celery) -> None:
    """Connect to the broker once. Raises BrokerUnreachableError when that does not work."""
    with _errors_of(app), app.connection_for_write() as connection:
        connection.ensure_connection(max_retries=0, timeout=app.conf.broker_connection_timeout)


def consumed_queues(app: Celery) -> frozenset[str]:
    """Ask the workers which queues they consume; empty when none answers within `PING_SECONDS`.

    Raises BrokerUnreachableError when the broker is gone.
    """
    with _errors_of(app):
        answers: dict[str, Any] = app.control.inspect(timeout=PING_SECONDS).active_queues() or {}
    return frozenset().union(*map(queue_names, answers.values()))


def stop_consuming(app: Celery, node: str, queues: Sequence[str]) -> None:
    """Tell the worker of a node name to take no more messages from these queues; no answer is awaited.

    Raises BrokerUnreachableError when the broker is gone.
    """
    with _errors_of(app):
        for queue in queues:
            app.control.broadcast("cancel_consumer", arguments={"queue": queue}, destination=[node])


def outcome_of(task_id: str, result: Any, traceback: object, *, succeeded: bool) -> TaskOutcome:
    """Give how a task ended from what it returned or raised."""
    if succeeded:
        return TaskOutcome(task_id, succeeded=True, result=result)
    shown = None if traceback is None else str(traceback)
    return TaskOutcome(task_id, succeeded=False, error=explain_failure(result), traceback=shown)


def wait_for(
    app: Celery,
    backend_url: str,
    task_id: str,
    timeout_seconds: float,
    doubt: tuple[float, Callable[[], None]] | None = None,
) -> TaskOutcome:
    """Wait for the end of a task, by asking and never by subscribing: a dead backend is met at once.

    `doubt` is called once, when it has not come after so many seconds.
    Raises WaitTimeoutError when it does not come in time, ServiceUnreachableError when the result
    backend is gone.
    """
    results = ResultReader(app, backend_url)
    began = time.monotonic()
    deadline = began + timeout_seconds
    pause_seconds = FIRST_PAUSE_SECONDS
    while (meta := results.read(task_id))["status"] not in ENDED:
        left_seconds = deadline - time.monotonic()
        if left_seconds <= 0:
            raise WaitTimeoutError(
                f"Task {task_id} has not ended after {timeout_seconds:g} s; it may be queued or running.",
                "Give --wait more seconds; `ibutsu-tasks doctor --only workers` says who works.",
            )
        if doubt and time.monotonic() - began > doubt[0]:
            doubt[1]()
            doubt = None
        time.sleep(min(pause_seconds, left_seconds))
        pause_seconds = min(pause_seconds * PAUSE_GROWTH, LONGEST_PAUSE_SECONDS)
    return outcome_of(task_id, meta["result"], meta.get("traceback"), succeeded=meta["status"] == "SUCCESS")


class ResultReader:
    """The states of tasks in the result backend; nothing connects before first use, and nothing subscribes.

    Everything raises ServiceUnreachableError when the backend is gone.
    """

    def __init__(self, app: Celery, backend_url: str) -> None:
        backend_class, url = cast("Any", by_url)(address_of(backend_url).bare_url, app.loader)
        self._backend = backend_class(app=app, url=url)
        self._url = backend_url

    def read(self, task_id: str) -> dict[str, Any]:
        """Give what Celery stored of a task: `status`, `result`, `traceback`."""
        with self._errors():
            meta: dict[str, Any] = self._backend.get_task_meta(task_id)
        return meta

    def close(self) -> None:
        """Close its connections."""
        # The client does not close a pool that it was given.
        self._backend.client.connection_pool.disconnect()

    def mark_revoked(self, task_id: str) -> None:
        """Store that a task was revoked, as a worker does, and tell who waits for its result."""
        # Not by Celery's own method: it calls one of redis-py that warns, in a process that is not ours.
        backend, error = self._backend, TaskRevokedError("revoked")
        meta = {"status": states.REVOKED, "result": backend.prepare_exception(error), "task_id": task_id}
        meta |= {"traceback": None, "children": [], "date_done": datetime.now(UTC).isoformat()}
        key, encoded = backend.get_key_for_task(task_id), backend.encode(meta)
        with self._errors():
            backend.client.set(key, encoded, ex=backend.expires or None)
            backend.client.publish(key, encoded)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (RedisError, KombuError, BackendError, OSError) as error:
            reason = Masker([self._url]).mask(" ".join(str(error).split()) or type(error).__name__)
            raise ServiceUnreachableError(
                f"The result backend at {describe(self._url)} did not work: {reason}",
                "Check CELERY_RESULT_BACKEND, then run `ibutsu-tasks doctor --only backend`.",
            ) from error


def explain_failure(error: object) -> str:
    """Give one sentence for what a task raised: our own errors have one, others are named first."""
    # SQLAlchemy continues with the statement.
    sentence = " ".join(str(error).split()).partition(" [SQL: ")[0]
    if isinstance(error, IbutsuTasksError):
        return sentence
    name = type(error).__name__
    return f"{name}: {sentence}" if sentence else name


@contextmanager
def broker_errors(broker_url: str) -> Iterator[None]:
    """Raise BrokerUnreachableError in place of what kombu and the Redis client raise."""
    try:
        yield
    except (KombuError, RedisError, OSError) as error:
        raise unreachable(error, broker_url) from error


def _errors_of(app: Celery) -> AbstractContextManager[None]:
    return broker_errors(app.conf.broker_write_url)
