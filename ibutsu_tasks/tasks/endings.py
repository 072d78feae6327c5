"""Tells tasks of messages that will not be carried out, in the worker's own process.

Celery says so in the worker's loop, which must not wait for a database: it is kept in Redis, and any worker
that has the task tells it as soon as the database is there, and who follows the task.
"""

from __future__ import annotations

import logging
import signal
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from celery import current_app, signals
from celery.exceptions import TimeLimitExceeded
from kombu.utils.json import dumps, loads
from redis.exceptions import LockError, RedisError

from ibutsu_tasks.broker.layout import GAVE_UP, GAVE_UP_LOCK
from ibutsu_tasks.errors import KilledTooOftenError
from ibutsu_tasks.tasks.base import DatabaseTask
from ibutsu_tasks.tasks.later import later, look_now, rounds
from ibutsu_tasks.tasks.once import give_up
from ibutsu_tasks.tasks.outages import DATABASE, outages, service_of
from ibutsu_tasks.temporary_errors import is_temporary

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ibutsu_tasks.resources import Resources

logger = logging.getLogger(__name__)

LONGEST_SECONDS = 60
"""After this, another worker goes on: longer than a database that fell silent is waited for."""

REVOKED = "It was revoked before it began."
EXPIRED = "Its message expired before it began."


def tell_tasks() -> None:
    """Listen to what Celery says in this process."""
    signals.task_failure.connect(_on_failure, dispatch_uid="ibutsu-tasks-gave-up")
    signals.task_revoked.connect(_on_revoked, dispatch_uid="ibutsu-tasks-gave-up")
    rounds.append(tell_all)


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


def _on_failure(
    sender: Any, task_id: str, exception: BaseException, args: Any, kwargs: Any, **_: Any
) -> None:
    """Celery sends this from the parent when the child was killed or ran over its hard time limit."""
    if isinstance(exception, KilledTooOftenError):
        _note(sender, task_id, args, kwargs, str(exception))
    elif isinstance(exception, TimeLimitExceeded):
        _note(sender, task_id, args, kwargs, "It took longer than its time limit and was stopped.")


def _on_revoked(sender: Any, request: Any, terminated: bool, signum: object, expired: bool, **_: Any) -> None:
    sentence = end_sentence(terminated=terminated, signum=signum, expired=expired)
    _note(sender, str(request.id), request.args, request.kwargs, sentence)


def _note(task: Any, task_id: str, args: Any, kwargs: Any, reason: str) -> None:
    if not isinstance(task, DatabaseTask):
        return
    args, kwargs = tuple(args or ()), dict(kwargs or {})
    if task.policy.key is not None:
        later.append(partial(_let_others_begin, task, task_id, args, kwargs))
    if type(task).gave_up is not DatabaseTask.gave_up:
        told = dumps({"task": task.name, "args": args, "kwargs": kwargs, "reason": reason})
        try:
            task.resources.brief_redis.hset(GAVE_UP, task_id, told)
        except (RedisError, OSError):
            later.append(partial(_keep, task_id, told))
        look_now()


def _let_others_begin(
    task: DatabaseTask, task_id: str, args: Sequence[Any], kwargs: Mapping[str, Any], resources: Resources
) -> None:
    if name := task.work_name(args, kwargs):
        give_up(resources.redis, name, task_id)


def _keep(task_id: str, told: str, resources: Resources) -> None:
    resources.redis.hset(GAVE_UP, task_id, told)


def tell_all(resources: Resources) -> None:
    """Tell the tasks that this worker has what is kept for them. Raises what Redis and the database raise."""
    client = resources.redis
    if not client.exists(GAVE_UP):
        return
    lock = client.lock(GAVE_UP_LOCK, timeout=LONGEST_SECONDS, blocking=False)
    if not lock.acquire():
        return
    try:
        kept: dict[bytes, bytes] = client.hgetall(GAVE_UP)  # type: ignore[assignment]
        for key, told in kept.items():
            if _is_told(key.decode(errors="replace"), told, resources):
                client.hdel(GAVE_UP, key)
    finally:
        with suppress(LockError):
            lock.release()


def _is_told(task_id: str, told: bytes, resources: Resources) -> bool:
    """Tell a task and who follows it, if this worker has it; say whether there is nothing left to tell."""
    try:
        fields = loads(told)
        name, args, kwargs = str(fields["task"]), tuple(fields["args"]), dict(fields["kwargs"])
        reason = str(fields["reason"])
    except (ValueError, TypeError, KeyError, RecursionError):
        logger.warning("%r in %s is no record of ours; removed: %r", task_id[:100], GAVE_UP, told[:200])
        return True
    task = current_app.tasks.get(name)
    if not isinstance(task, DatabaseTask):
        return False
    _tell(task, args, kwargs, reason, resources)
    task.reporter(task_id, args, kwargs).end("error")
    return True


def _tell(
    task: DatabaseTask, args: Sequence[Any], kwargs: Mapping[str, Any], reason: str, resources: Resources
) -> None:
    try:
        task.give_up(resources, args, kwargs, reason)
        outages.end(DATABASE)
    except Exception as error:
        if is_temporary(error):
            if service := service_of(error):
                outages.note(service, error)
            raise
        logger.exception("%s could not be told that it was given up", task.name)
