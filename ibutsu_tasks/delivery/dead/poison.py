"""What is done for a message that no worker will carry out: it is set aside, and who waits for it is told."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

from celery import current_app, signals
from celery.app.task import Context

from ibutsu_tasks.delivery.dead.content import content_of
from ibutsu_tasks.delivery.dead.losses import MOST_LOSSES, history_of
from ibutsu_tasks.delivery.dead.quarantine import set_aside
from ibutsu_tasks.errors import KilledTooOftenError
from ibutsu_tasks.logs.lines import RunningTask, current_task, speaking_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from celery import Celery
    from redis import Redis

logger = logging.getLogger(__name__)

_NUMBERS = {3: "three"}

BY_KILL = "signal 9 (SIGKILL)"
BY_WORKER = "the end of its whole worker"
"""How a process ended that was lost with its worker, as who recovers the worker's messages says."""


def most_losses(message: Mapping[str, Any]) -> int:
    """Give how many processes a message may lose: as the policy of its task says, where it is known."""
    task = current_app.tasks.get(str(content_of(message).task))
    return int(getattr(getattr(task, "policy", None), "most_losses", MOST_LOSSES))


def end_poisonous(
    client: Redis,
    message: Mapping[str, Any],
    queue: str,
    ended_by: str,
    facts: Mapping[str, Any] | None = None,
    key: str | None = None,
) -> None:
    """Set a message aside that has lost too many processes, the last by `ended_by`, and end its task.

    Done once more, by who finds the message held by a worker that died here, it changes nothing.
    """
    content = content_of(message)
    known = history_of(client, message)
    how = _how(known.get("deliveries", 1), ended_by)
    why = ", most likely for want of memory" if ended_by == BY_KILL else ""
    told = {**known, "ended_by": ended_by, **(facts or {})}
    set_aside(client, json.dumps(message).encode(), queue, how, key or content.task_id, told)
    # Of what a worker held that is gone, nobody speaks yet.
    task = RunningTask(str(content.task), str(content.task_id), content.about_by_kind)
    with speaking_of(current_task.get() or task):
        logger.error("Task %s[%s] was set aside: %s", content.task, content.task_id, how)
        fail(message, KilledTooOftenError(f"The process was {how}{why}."))


def fail(message: Mapping[str, Any], error: Exception) -> None:
    """End a task that never ran to its end: its result is a failure, and its row, if it has one, says why.

    As best it can: the message is set aside already, and whoever calls has others to look after.
    """
    content = content_of(message)
    if content.task_id is None:
        return
    app: Celery = current_app._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001 - as elsewhere
    request = Context({**message["headers"], **content.options})
    task = app.tasks.get(str(content.task))
    try:
        app.backend.mark_as_failure(content.task_id, error, request=request)
        if task is not None:
            _send_failure(task, request, content.args, content.kwargs, error)
    except Exception:
        logger.exception("The failure of task %s[%s] could not be stored.", content.task, content.task_id)


def _send_failure(task: Any, request: Context, args: Any, kwargs: Any, error: Exception) -> None:
    # As Celery does for a process that was lost: receivers ask the task for its request.
    task.request_stack.push(request)
    try:
        signals.task_failure.send(
            task, task_id=request.id, exception=error, args=args, kwargs=kwargs, traceback=None, einfo=None
        )
    finally:
        task.request_stack.pop()


def _how(losses: int, ended_by: str) -> str:
    verb = "killed" if ended_by.startswith("signal") else "lost"
    if losses == 1:
        return f"{verb} by {ended_by}"
    return f"{verb} {_NUMBERS.get(losses, str(losses))} times, last by {ended_by}"
