"""Celery's consumer, which sets aside the messages that Celery would throw away or end by."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

from celery.exceptions import NotRegistered
from celery.worker.consumer import Consumer as CeleryConsumer

from ibutsu_tasks.delivery.dead.poison import fail
from ibutsu_tasks.delivery.dead.quarantine import MAX_REASON_CHARS, set_aside
from ibutsu_tasks.delivery.held.message import client_of, queue_of, raw_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from kombu.transport.virtual import Message

logger = logging.getLogger(__name__)

MAX_NAME_CHARS = 200


class Consumer(CeleryConsumer):
    """Has each message end in one of two ways: as a task, or set aside with its reason."""

    connection_errors: tuple[type[Exception], ...]
    connection: Any
    event_dispatcher: Any
    received = 0
    """How many messages came, of whatever kind; the watchdog looks at it."""

    def create_task_handler(self, *args: Any, **kwargs: Any) -> Callable[[Message], None]:
        """Give what is called for each message."""
        handle = super().create_task_handler(*args, **kwargs)
        errors = (*self.connection_errors, *self.connection.channel_errors)

        def handle_or_set_aside(message: Message) -> None:
            self.received += 1
            try:
                handle(message)
            except errors:
                raise
            except Exception as error:  # noqa: BLE001 - whatever a message holds, the worker works on
                self._set_aside(message, f"{type(error).__name__}: {error}")

        return handle_or_set_aside

    def on_unknown_message(self, body: Any, message: Message) -> None:  # noqa: ARG002 - Celery's signature
        """Set aside what names no task."""
        self._set_aside(message, "it names no task")

    def on_invalid_task(self, body: Any, message: Message, exc: Exception) -> None:  # noqa: ARG002 - Celery's
        """Set aside what is no task's message."""
        self._set_aside(message, f"{type(exc).__name__}: {exc}")

    def on_decode_error(self, message: Message, exc: Exception) -> None:
        """Set aside what cannot be decoded."""
        self._set_aside(message, f"it cannot be decoded: {exc}")

    def on_unknown_task(self, body: Any, message: Message, exc: Exception) -> None:  # noqa: ARG002 - Celery's
        """Set aside what is for a task that no worker of ours has, and tell who waits for its result."""
        about = message.headers if "task" in message.headers else body or message.payload
        task_id, name = about.get("id"), about["task"][:MAX_NAME_CHARS]
        self._set_aside(message, f"there is no task {name!r}")
        fail(raw_of(message), NotRegistered(name))
        if isinstance(task_id, str) and self.event_dispatcher:
            self.event_dispatcher.send("task-failed", uuid=task_id, exception=f"NotRegistered({name!r})")

    def _set_aside(self, message: Message, reason: str) -> None:
        queue, text = queue_of(message), json.dumps(raw_of(message))
        with client_of(message) as client:
            # By its own tag: a worker that is killed before the next line sets it aside once more.
            set_aside(client, text.encode(), queue, reason, key=message.delivery_tag)
        if not message.acknowledged:
            message.ack_log_error(logger, self.connection_errors)
        logger.error("A message of the queue %s was set aside: %s.", queue, reason[:MAX_REASON_CHARS])
