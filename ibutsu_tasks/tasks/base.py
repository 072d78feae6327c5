"""What every task has: a transaction, follow-up messages after its commit, and a policy for retries."""

from __future__ import annotations

import itertools
import logging
import random
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn, cast

from celery import Celery, Task, current_app, signals
from celery.exceptions import Retry
from kombu.exceptions import OperationalError as BrokerError
from redis.exceptions import BusyLoadingError, OutOfMemoryError, ReadOnlyError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from ibutsu_tasks.errors import BusyError, IbutsuTasksError, ServiceUnreachableError
from ibutsu_tasks.logs import current_task

if TYPE_CHECKING:
    from collections.abc import Iterator

    from celery.canvas import Signature
    from sqlalchemy.orm import Session

    from ibutsu_tasks.resources import Resources

logger = logging.getLogger(__name__)

TRANSIENT_ERRORS = (
    BusyError,
    ServiceUnreachableError,
    BrokerError,
    RedisConnectionError,
    RedisTimeoutError,
    BusyLoadingError,
    OutOfMemoryError,
    ReadOnlyError,
)
"""What a second try may cure. Everything else fails once, with its traceback in the log."""

MAX_RETRY_PAUSE_SECONDS = 600
"""Below the broker's default visibility time-out of an hour, so a waiting message is never taken for lost."""

MAX_TRIES = 150
"""After an unreachable service; their pauses last about half a day."""

TRIES_HEADER = "ibutsu_tasks_tries"
"""How often a message was sent again after a transient error."""


def retry_pause_seconds(tries: int) -> float:
    """Give a pause with full jitter: anything up to 1, 2, 4, … s, at most ten minutes."""
    return random.uniform(0, min(2.0 ** min(tries, 32), MAX_RETRY_PAUSE_SECONDS))  # noqa: S311 - not a secret


def publish_patiently(message: Signature[Any]) -> None:
    """Publish a message that must not be lost, waiting here for as long as the broker does not take it."""
    for tries in itertools.count(2):
        try:
            message.apply_async()
        except TRANSIENT_ERRORS as error:
            logger.warning("the broker does not take a message that is to be tried again: %s", error)
            time.sleep(retry_pause_seconds(tries))
        else:
            return


class DatabaseCelery(Celery):
    """An application whose tasks have a database."""

    def __init__(self, *args: Any, resources: Resources, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.resources = resources


@dataclass(slots=True)
class FollowUps:
    """Messages to send once the transaction they speak of is committed."""

    messages: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = field(default_factory=list)

    def send(self, task_name: str, *args: Any, **options: Any) -> None:
        """Send `task_name` with `args` after the commit; `options` are those of `apply_async`."""
        self.messages.append((task_name, args, options))


class DatabaseTask(Task[Any, Any]):
    """A task with a session; transient errors are retried with full jitter, pauses growing to ten minutes."""

    abstract = True
    # Celery's own retries are not used: its request counts killed processes, a header transient errors.
    max_retries = None
    Request = "ibutsu_tasks.delivery.request:Request"
    # What was foreseen has its sentence: one line in the log, no traceback.
    throws = (IbutsuTasksError,)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the task; send it again for later when a second try may cure what went wrong."""
        try:
            return self.run(*args, **kwargs)
        except TRANSIENT_ERRORS as error:
            if self.request.is_eager or self.request.called_directly:
                raise
            self._try_again(error)

    def _try_again(self, error: Exception) -> NoReturn:
        headers = dict(self.request.headers or {})
        tries = int(headers.get(TRIES_HEADER, 0))
        if tries >= MAX_TRIES:
            raise error
        pause_seconds = retry_pause_seconds(tries)
        again = self.signature_from_request(
            self.request,
            countdown=pause_seconds,
            retries=self.request.retries,
            headers=headers | {TRIES_HEADER: tries + 1},
        )
        publish_patiently(again)
        raise Retry(exc=error, when=pause_seconds) from error  # type: ignore[arg-type]  # Real stands for float

    @property
    def resources(self) -> Resources:
        """The connections of this process."""
        return cast("DatabaseCelery", self.app).resources

    @contextmanager
    def transaction(self) -> Iterator[tuple[Session, FollowUps]]:
        """Run one transaction and send its follow-up messages after the commit, never before."""
        follow_ups = FollowUps()
        with self.resources.session() as session:
            yield session, follow_ups
        for name, args, options in follow_ups.messages:
            self.send_now(name, *args, **options)

    def send_now(self, task_name: str, *args: Any, **options: Any) -> None:
        """Send a message; run the task right here when this one itself runs without a worker."""
        if self.request.is_eager:
            self.app.tasks[task_name].apply(args, throw=True)
        else:
            self.app.send_task(task_name, args, **options)


@signals.task_prerun.connect(dispatch_uid="ibutsu-tasks-task-prerun")
def _enter_task(task_id: str, task: Task[Any, Any], **_: Any) -> None:
    current_task.set((task.name, task_id))


@signals.task_postrun.connect(dispatch_uid="ibutsu-tasks-task-postrun")
def _leave_task(**_: Any) -> None:
    current_task.set(None)


@signals.worker_process_init.connect(dispatch_uid="ibutsu-tasks-after-fork")
def _drop_connections(**_: Any) -> None:
    app = current_app._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001 - the stubs know no proxy
    if isinstance(app, DatabaseCelery):
        app.resources.drop_after_fork()
