"""Publishing messages within a few seconds or not at all, and asking who consumes them.

The application comes from `celery_app.create_client_app`, whose every step has a time limit.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from kombu.exceptions import KombuError
from redis.exceptions import RedisError

from ibutsu_tasks.broker import unreachable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from celery import Celery

PING_SECONDS = 1.0
"""A worker answers in milliseconds; the rest is for a loaded machine."""


def send(
    app: Celery,
    task_name: str,
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    *,
    countdown_seconds: float | None = None,
    queue: str | None = None,
) -> str:
    """Publish one message and give the task's id. Its name and arguments are not checked here.

    Raises BrokerUnreachableError when the broker is gone or does not take it.
    """
    with _broker_errors(app):
        result = app.send_task(
            task_name, tuple(args), dict(kwargs or {}), countdown=countdown_seconds, queue=queue
        )
    return str(result.id)


def check_broker(app: Celery) -> None:
    """Connect to the broker once. Raises BrokerUnreachableError when that does not work."""
    with _broker_errors(app), app.connection_for_write() as connection:
        connection.ensure_connection(max_retries=0, timeout=app.conf.broker_connection_timeout)


def consumed_queues(app: Celery) -> frozenset[str]:
    """Ask the workers which queues they consume; empty when none answers within `PING_SECONDS`.

    Raises BrokerUnreachableError when the broker is gone.
    """
    with _broker_errors(app):
        answers: dict[str, Any] = app.control.inspect(timeout=PING_SECONDS).active_queues() or {}
    # Beat answers too, with an error: it consumes nothing.
    lists = [queues for queues in answers.values() if isinstance(queues, list)]
    return frozenset(queue["name"] for queues in lists for queue in queues)


@contextmanager
def _broker_errors(app: Celery) -> Iterator[None]:
    try:
        yield
    except (KombuError, RedisError, OSError) as error:
        raise unreachable(error, app.conf.broker_write_url) from error
