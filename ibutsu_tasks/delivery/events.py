"""Celery's events, which a worker sends once: its loop stands still while an event is tried again."""

from __future__ import annotations

from typing import Any

from celery.events import EventDispatcher


class Dispatcher(EventDispatcher):
    """Keeps an event that the broker does not take until it has a new connection."""

    def send(self, type: str, *args: Any, **fields: Any) -> Any:  # noqa: A002 - the name in Celery
        """Send an event as Celery does, but never for as long as the broker is away."""
        return super().send(type, *args, **fields | {"retry": False})
