"""The message of an entry in the bytes that kombu would write, so that sending it can be part of more.

Written for kombu 5.7: a message of any virtual transport is one dictionary, which the Redis transport writes
as JSON. A test compares the two.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from kombu import Connection
from kombu.utils.json import dumps

from ibutsu_tasks.broker.layout import redis_list

if TYPE_CHECKING:
    from collections.abc import Sequence

    from celery import Celery

DUE_HEADER = "ibutsu_tasks_due"
"""The ISO time for which beat sent a message: of one entry, no two messages have the same."""


class Encoded(NamedTuple):
    """A message, and the Redis list it is for."""

    place: str
    message: str


def encode(app: Celery, task: str, args: Sequence[Any], due: str, **options: Any) -> Encoded:
    """Give the message that Celery would send, to the queue of the task; nothing connects.

    `options` are those of `send_task`, such as `priority`.
    """
    queue = app.amqp.router.route({}, task)["queue"].name
    headers = {"celery_beat_task": True, DUE_HEADER: due}
    with Connection("memory://") as connection:
        channel: Any = connection.default_channel
        producer = app.amqp.Producer(channel)
        app.send_task(task, args, queue=queue, headers=headers, producer=producer, **options)
        message = channel._get(queue)  # noqa: SLF001 - as it lies in the queue
    return Encoded(redis_list(queue, message["properties"].get("priority")), str(dumps(message)))
