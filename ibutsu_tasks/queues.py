"""The queues there are. An unmodified API server publishes to `celery` only, so every worker consumes it."""

from __future__ import annotations

DEFAULT_QUEUE = "celery"
