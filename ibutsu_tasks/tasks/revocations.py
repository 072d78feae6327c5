"""Imports whose task was revoked, before it began or while it ran, or has expired: they end as `error`.

Celery tells it in the worker's main loop, which must not wait for a database: a thread writes it down.
"""

from __future__ import annotations

import logging
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from celery import signals

from ibutsu_tasks.errors import RefusedError
from ibutsu_tasks.operations.imports import records
from ibutsu_tasks.tasks.base import TRANSIENT_ERRORS, retry_pause_seconds
from ibutsu_tasks.tasks.imports import IMPORT_TASKS, mark_failed
from ibutsu_tasks.tasks.progress import ImportReporter

if TYPE_CHECKING:
    from uuid import UUID

logger = logging.getLogger(__name__)

REVOKED = "The import was revoked before it began."
EXPIRED = "The import's message expired before it began."

_writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="revoked-imports")
_ends = threading.Event()


def end_sentence(*, terminated: bool, signum: object, expired: bool) -> str:
    """Say how an import ended, from what Celery says of the revocation of its task."""
    if not terminated:
        return EXPIRED if expired else REVOKED
    return f"The import was terminated while it ran{_named(signum)}."


def _named(signum: object) -> str:
    try:
        return f" ({signal.Signals(signum).name})" if isinstance(signum, int) else ""
    except ValueError:
        return ""


@signals.task_revoked.connect(dispatch_uid="ibutsu-tasks-import-revoked")
def _on_revoked(sender: Any, request: Any, terminated: bool, signum: object, expired: bool, **_: Any) -> None:
    if getattr(sender, "name", None) not in IMPORT_TASKS:
        return
    message = next(iter([*(request.args or ()), *(request.kwargs or {}).values()]), None)
    try:
        import_id = records.parse_import_id(message)
    except RefusedError as error:
        logger.warning("a revoked task has no import to end: %s", error)
        return
    sentence = end_sentence(terminated=terminated, signum=signum, expired=expired)
    _writer.submit(_end, sender, str(request.id), import_id, sentence)


@signals.worker_shutdown.connect(dispatch_uid="ibutsu-tasks-revocations-end")
def _on_shutdown(**_: Any) -> None:
    # What cannot be written now is found as lost later; the end of the worker does not wait for a database.
    _ends.set()


def _end(task: Any, task_id: str, import_id: UUID, sentence: str) -> None:
    tries = 0
    while True:
        try:
            mark_failed(task, import_id, sentence)
        except TRANSIENT_ERRORS as error:
            logger.warning("import %s was revoked, which cannot be written down yet: %s", import_id, error)
        except Exception:
            logger.exception("import %s was revoked, which cannot be written down", import_id)
            return
        else:
            ImportReporter(task, task_id, import_id).end("error")
            return
        tries += 1
        if _ends.wait(retry_pause_seconds(tries)):
            return
