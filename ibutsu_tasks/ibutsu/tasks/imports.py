"""Tasks that import uploaded files."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Any

from celery import shared_task
from celery.exceptions import SoftTimeLimitExceeded

from ibutsu_tasks.delivery.dead.content import about_call
from ibutsu_tasks.errors import IbutsuTasksError, InvalidImportError, RefusedError
from ibutsu_tasks.ibutsu.importers.formats import format_of
from ibutsu_tasks.ibutsu.importers.parsed import ImportLimits
from ibutsu_tasks.ibutsu.importers.reading import UNFORESEEN
from ibutsu_tasks.ibutsu.operations.imports import records
from ibutsu_tasks.ibutsu.operations.imports.run_import import run_import
from ibutsu_tasks.ibutsu.settings import IMPORT_MAX_UNPACKED_BYTES
from ibutsu_tasks.ibutsu.tasks.progress import ImportReporter
from ibutsu_tasks.ibutsu.tasks.unwritten import write_or_keep
from ibutsu_tasks.ibutsu.wire_names import RUN_ARCHIVE_IMPORT, RUN_JUNIT_IMPORT, UPDATE_RUN
from ibutsu_tasks.tasks.base import DatabaseTask
from ibutsu_tasks.tasks.progress import Reporter
from ibutsu_tasks.temporary_errors import is_temporary

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from sqlalchemy.orm import Session

    from ibutsu_tasks.ibutsu.operations.imports.content import OnProgress

logger = logging.getLogger(__name__)


class ImportTask(DatabaseTask):
    """The task of an importer, which is `import_file` and nothing else.

    Its import ends as `error`, with a sentence, whatever comes of the file, and also when its message will
    not be carried out.
    """

    abstract = True

    def import_file(self, import_: Any) -> dict[str, Any]:
        """Import the file of one row of `imports`, and give what came of it.

        Of the message only the id is trusted, and what reads the file its content decides. Raises
        RefusedError for a message without an import, InvalidImportError for a file that cannot be imported.
        """
        import_id = records.parse_import_id(import_)
        reporter = ImportReporter(self, self.request.id, import_id)
        try:
            answer = _import_content(self, import_id, reporter)
        except Exception as error:
            if is_temporary(error):
                raise
            # Here, so that whoever sees the task failed finds the sentence in the row.
            _mark_failed(self, import_id, error)
            reporter.end("error")
            raise
        reporter.end("done")
        return answer

    def reporter(self, task_id: str | None, args: Any, kwargs: Any) -> Reporter:
        """Give it with the keys that the server's page knows."""
        return Reporter(self, task_id, about_call(self.name, args, kwargs))

    def gave_up(self, session: Session, args: Sequence[Any], kwargs: Mapping[str, Any], reason: str) -> None:
        """Write the reason into the import."""
        try:
            import_id = records.parse_import_id(next(iter([*args, *kwargs.values()]), None))
        except RefusedError as error:
            logger.warning("a task that was given up has no import to end: %s", error)
            return
        records.mark_failed(session, import_id, _of_import(reason))


@shared_task(name=RUN_JUNIT_IMPORT, bind=True, base=ImportTask)
def run_junit_import(self: ImportTask, import_: dict[str, Any]) -> dict[str, Any]:
    """Import an uploaded JUnit XML file."""
    return self.import_file(import_)


@shared_task(name=RUN_ARCHIVE_IMPORT, bind=True, base=ImportTask)
def run_archive_import(self: ImportTask, import_: dict[str, Any]) -> dict[str, Any]:
    """Import an uploaded archive written by pytest-ibutsu."""
    return self.import_file(import_)


def _import_content(task: ImportTask, import_id: UUID, on_progress: OnProgress) -> dict[str, Any]:
    settings = task.resources.settings
    limits = ImportLimits(unpacked_bytes=settings.value(IMPORT_MAX_UNPACKED_BYTES))
    with task.transaction() as (session, _):
        records.start(session, import_id)
    with task.transaction() as (session, follow_ups):
        format_name = format_of(task.name) or task.name
        summary = run_import(session, import_id, format_name, limits, on_progress)
        for run_id in summary.runs_to_update:
            follow_ups.send(UPDATE_RUN, str(run_id))
    return summary.as_json()


def _mark_failed(task: DatabaseTask, import_id: UUID, error: BaseException) -> None:
    warnings = error.warnings if isinstance(error, InvalidImportError) else ()
    write_or_keep(task, import_id, _explain(error), warnings)


def _explain(exception: BaseException) -> str:
    if isinstance(exception, IbutsuTasksError):
        return str(exception)
    if isinstance(exception, SoftTimeLimitExceeded):
        return "The import took longer than the worker's soft time limit."
    return UNFORESEEN


def _of_import(reason: str) -> str:
    """Say what happened to a task in words for the page of its import, which shows no task."""
    return re.sub("^It ", "The import ", re.sub("^The process ", "The process importing this file ", reason))
