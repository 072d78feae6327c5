"""Tells tasks of messages that will not be carried out, in the worker's own process.

Celery says so in the worker's loop, which must not wait for a database: it is written down a moment later,
and while the database is away, tried again.
"""

from __future__ import annotations

import signal
from functools import partial
from typing import Any

from celery import signals
from celery.exceptions import TimeLimitExceeded

from ibutsu_tasks.errors import KilledTooOftenError
from ibutsu_tasks.tasks.base import DatabaseTask
from ibutsu_tasks.tasks.later import later

REVOKED = "It was revoked before it began."
EXPIRED = "Its message expired before it began."


def tell_tasks() -> None:
    """Listen to what Celery says in this process."""
    signals.task_failure.connect(_on_failure, dispatch_uid="ibutsu-tasks-gave-up")
    signals.task_revoked.connect(_on_revoked, dispatch_uid="ibutsu-tasks-gave-up")


def end_sentence(*, terminated: bool, signum: object, expired: bool) -> str:
    """Say how a task ended, from what Celery says of its revocation."""
    if not terminated:
        return EXPIRED if expired else REVOKED
    return f"It was terminated while it ran{_named(signum)}."


def _named(signum: object) -> str:
    try:
        return f" ({signal.Signals(signum).name})" if isinstance(signum, int) else ""
    except ValueError:
        return ""


def _on_failure(sender: Any, exception: BaseException, args: Any, kwargs: Any, **_: Any) -> None:
    """Celery sends this from the parent when the child was killed or ran over its hard time limit."""
    if isinstance(exception, KilledTooOftenError):
        _tell(sender, args, kwargs, str(exception))
    elif isinstance(exception, TimeLimitExceeded):
        _tell(sender, args, kwargs, "It took longer than its time limit and was stopped.")


def _on_revoked(sender: Any, request: Any, terminated: bool, signum: object, expired: bool, **_: Any) -> None:
    sentence = end_sentence(terminated=terminated, signum=signum, expired=expired)
    _tell(sender, request.args, request.kwargs, sentence)


def _tell(task: Any, args: Any, kwargs: Any, reason: str) -> None:
    if isinstance(task, DatabaseTask):
        later.append(partial(task.give_up, args=args or (), kwargs=kwargs or {}, reason=reason))
