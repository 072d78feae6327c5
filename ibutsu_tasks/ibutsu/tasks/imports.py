"""Tasks that import uploaded files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celery import shared_task, signals
from celery.exceptions import TimeLimitExceeded

from ibutsu_tasks.errors import IbutsuTasksError, InvalidImportError, KilledTooOftenError
from ibutsu_tasks.ibutsu.importers.parsed import ImportLimits
from ibutsu_tasks.ibutsu.operations.imports import records
from ibutsu_tasks.ibutsu.operations.imports.run_import import run_import
from ibutsu_tasks.ibutsu.settings import IMPORT_MAX_UNPACKED_BYTES
from ibutsu_tasks.ibutsu.tasks.progress import ImportReporter
from ibutsu_tasks.ibutsu.tasks.unwritten import write_or_keep
from ibutsu_tasks.ibutsu.wire_names import IMPORT_TASKS, RUN_ARCHIVE_IMPORT, RUN_JUNIT_IMPORT, UPDATE_RUN
from ibutsu_tasks.tasks.base import DatabaseTask
from ibutsu_tasks.temporary_errors import is_temporary

if TYPE_CHECKING:
    from uuid import UUID

    from ibutsu_tasks.ibutsu.operations.imports.content import OnProgress


UNFORESEEN = "The import failed for an unforeseen reason; the worker's log says more."


@shared_task(name=RUN_JUNIT_IMPORT, bind=True, base=DatabaseTask)
def run_junit_import(self: DatabaseTask, import_: dict[str, Any]) -> dict[str, Any]:
    """Import an uploaded JUnit XML file."""
    return _run_import(self, import_, "junit")


@shared_task(name=RUN_ARCHIVE_IMPORT, bind=True, base=DatabaseTask)
def run_archive_import(self: DatabaseTask, import_: dict[str, Any]) -> dict[str, Any]:
    """Import an uploaded archive written by pytest-ibutsu."""
    return _run_import(self, import_, "archive")


def _run_import(task: DatabaseTask, import_: dict[str, Any], format_name: str) -> dict[str, Any]:
    """Import the file of one row. Of the message only the id is trusted."""
    import_id = records.parse_import_id(import_)
    reporter = ImportReporter(task, task.request.id, import_id)
    try:
        answer = _import_content(task, import_id, format_name, reporter)
    except Exception as error:
        if is_temporary(error):
            raise
        # Here, so that whoever sees the task failed finds the sentence in the row.
        _mark_failed(task, import_id, error)
        reporter.end("error")
        raise
    reporter.end("done")
    return answer


def _import_content(
    task: DatabaseTask, import_id: UUID, format_name: str, on_progress: OnProgress
) -> dict[str, Any]:
    settings = task.resources.settings
    limits = ImportLimits(unpacked_bytes=settings.value(IMPORT_MAX_UNPACKED_BYTES))
    with task.transaction() as (session, _):
        records.start(session, import_id)
    with task.transaction() as (session, follow_ups):
        summary = run_import(session, import_id, format_name, limits, on_progress)
        for run_id in summary.runs_to_update:
            follow_ups.send(UPDATE_RUN, str(run_id))
    return summary.as_json()


@signals.task_failure.connect(dispatch_uid="ibutsu-tasks-import-failed")
def _on_failure(
    sender: Any, task_id: str, exception: BaseException, args: Any, kwargs: Any, **_: Any
) -> None:
    """Mark the import of a task that could not do so itself: killed, or out of time.

    Celery sends this signal from the parent when the child was killed or ran over its hard time limit.
    """
    if getattr(sender, "name", None) not in IMPORT_TASKS:
        return
    if not isinstance(exception, (KilledTooOftenError, TimeLimitExceeded)):
        return
    message = next(iter([*(args or ()), *(kwargs or {}).values()]), None)
    import_id = records.parse_import_id(message)
    _mark_failed(sender, import_id, exception)
    ImportReporter(sender, task_id, import_id).end("error")


def _mark_failed(task: DatabaseTask, import_id: UUID, error: BaseException) -> None:
    warnings = error.warnings if isinstance(error, InvalidImportError) else ()
    write_or_keep(task, import_id, _explain(error), warnings)


def _explain(exception: BaseException) -> str:
    if isinstance(exception, KilledTooOftenError):
        return str(exception).replace("The process", "The process importing this file", 1)
    if isinstance(exception, IbutsuTasksError):
        return str(exception)
    explanations = {
        "SoftTimeLimitExceeded": "The import took longer than the worker's soft time limit.",
        "TimeLimitExceeded": "The import took longer than the worker's time limit and was stopped.",
    }
    return explanations.get(type(exception).__name__, UNFORESEEN)
