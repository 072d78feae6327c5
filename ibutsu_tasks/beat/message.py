"""The message of an entry in the bytes that kombu would write, so that sending it can be part of more.

Written for kombu 5.7: a message of any virtual transport is one dictionary, which the Redis transport writes
as JSON. A test compares the two.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu import Connection
from kombu.utils.json import dumps

from ibutsu_tasks.wire_names import DEFAULT_QUEUE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from celery import Celery

DUE_HEADER = "ibutsu_tasks_due"
"""The ISO time for which beat sent a message: of one entry, no two messages have the same."""


def encode(app: Celery, task: str, args: Sequence[Any], due: str) -> str:
    """Give the message that Celery would send to the default queue; nothing connects."""
    headers = {"celery_beat_task": True, DUE_HEADER: due}
    with Connection("memory://") as connection:
        channel: Any = connection.default_channel
        producer = app.amqp.Producer(channel)
        app.send_task(task, args, queue=DEFAULT_QUEUE, headers=headers, producer=producer)
        return str(dumps(channel._get(DEFAULT_QUEUE)))  # noqa: SLF001 - the message as it lies in the queue
