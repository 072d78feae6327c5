"""Imports whose task was revoked, before it began or while it ran, or has expired: they end as `error`.

Celery tells it in the worker's main loop, which must not wait for a database: a thread writes it down.
"""

from __future__ import annotations

import logging
import signal
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from celery import signals

from ibutsu_tasks.errors import RefusedError
from ibutsu_tasks.ibutsu.operations.imports import records
from ibutsu_tasks.ibutsu.tasks.progress import ImportReporter
from ibutsu_tasks.ibutsu.tasks.unwritten import write_or_keep
from ibutsu_tasks.ibutsu.wire_names import IMPORT_TASKS

if TYPE_CHECKING:
    from uuid import UUID

logger = logging.getLogger(__name__)

REVOKED = "The import was revoked before it began."
EXPIRED = "The import's message expired before it began."

_writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="revoked-imports")


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


def _end(task: Any, task_id: str, import_id: UUID, sentence: str) -> None:
    try:
        write_or_keep(task, import_id, sentence)
    except Exception:
        logger.exception("import %s was revoked, which cannot be written down", import_id)
    else:
        ImportReporter(task, task_id, import_id).end("error")
