"""The names in messages that Celery systems share, whatever their tasks."""

from __future__ import annotations

DEFAULT_QUEUE = "celery"
"""Celery's own default: who names no queue publishes to it, as an unmodified Ibutsu API server does."""

PROBES_QUESTION = "ibutsu_tasks_probes"
"""A question of our own by Celery's control, which other workers answer with an error."""
