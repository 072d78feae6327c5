"""The queues there are. An unmodified API server publishes to `celery` only, so every worker consumes it."""

from __future__ import annotations

DEFAULT_QUEUE = "celery"

PRIORITY_STEPS = (0, 3, 6, 9)
"""Kombu's default steps on Redis; 0 is the highest and keeps the queue's bare name."""

PRIORITY_SEPARATOR = "\x06\x16"
"""Kombu's separator between a queue's name and its priority step."""


def redis_lists(queue: str) -> tuple[str, ...]:
    """Name the Redis lists that together are one queue, highest priority first."""
    return (queue, *(f"{queue}{PRIORITY_SEPARATOR}{step}" for step in PRIORITY_STEPS if step))
