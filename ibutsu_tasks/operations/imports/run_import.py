"""Importing an uploaded file: its content becomes a run with results and artifacts, all or nothing.

The same import can run any number of times, also twice at once, and ends in the same rows.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import IO, TYPE_CHECKING, Any, cast

from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm.attributes import flag_modified

from ibutsu_tasks.clock import utc_now
from ibutsu_tasks.errors import InvalidImportError
from ibutsu_tasks.importers import IMPORTERS, detect_format
from ibutsu_tasks.importers.findings import shown
from ibutsu_tasks.importers.parsed import ImportLimits, ParsedRun, Upload
from ibutsu_tasks.operations import run_summary
from ibutsu_tasks.operations.imports import run_row
from ibutsu_tasks.operations.imports.columns import References, RowTarget
from ibutsu_tasks.operations.imports.content import WatchedContent, drop_content, open_content
from ibutsu_tasks.operations.imports.projects import project_of_file, project_of_upload
from ibutsu_tasks.operations.imports.records import PARTIAL, current_row, data_of, partial_of, run_id_of
from ibutsu_tasks.operations.imports.rows import WRITE_LIMITS, RowWriter, WriteLimits, WrittenRows
from ibutsu_tasks.storable import storable_json

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy.orm import Session

    from ibutsu_tasks.database.models import Import, Run
    from ibutsu_tasks.operations.imports.content import OnProgress

REFUSED_VALUE_CLASSES = ("22", "54")
"""SQLSTATE classes of a value that PostgreSQL does not take: data exception, limit exceeded."""

UNIQUE_VIOLATION = "23505"

ARCHIVE = "archive"

RESTORED = "restored"
"""Key in an import's data: the run got its summary from the archive, and must not be counted anew."""


@dataclass(frozen=True, slots=True)
class ImportSummary:
    """What an import came to. `summary` has the ten keys of a run's summary."""

    import_id: UUID
    run_id: UUID | None
    already_done: bool
    format: str
    summary: dict[str, Any]
    results: int = 0
    artifacts: int = 0
    warnings: tuple[str, ...] = ()
    partial: str | None = None
    """Where the file broke and how many test cases before that were kept."""
    runs_to_update: tuple[UUID, ...] = ()
    """Runs whose summary is to be recomputed after the commit."""

    def as_json(self) -> dict[str, Any]:
        """Give what the task answers, as JSON values."""
        answer = asdict(self)
        del answer["runs_to_update"]
        run_id = str(self.run_id) if self.run_id else None
        return answer | {"import_id": str(self.import_id), "run_id": run_id, "warnings": list(self.warnings)}


def run_import(
    session: Session,
    import_id: UUID,
    format_name: str,
    limits: ImportLimits,
    on_progress: OnProgress = lambda *_: None,
    write_limits: WriteLimits = WRITE_LIMITS,
) -> ImportSummary:
    """Import the content of one row, in the session's transaction.

    The content decides the format; `format_name`, which the upload's name decided, is what is reported of an
    import done before. `on_progress` is called for every piece read; it is to be quick.
    Raises RefusedError when there is no such import, InvalidImportError with the user's sentence when
    its file cannot be imported.
    """
    with open_content(session, import_id) as content:
        row = current_row(session, import_id)
        if content is None:
            return _done_before(row, format_name)
        try:
            summary = _Import(session, row, content, limits, on_progress, write_limits).run()
        except DBAPIError as error:
            refusal = _refused_by_database(error, row)
            if refusal is None:
                raise
            raise refusal from error
    drop_content(session, import_id)
    return summary


def _done_before(row: Import, format_name: str) -> ImportSummary:
    if row.status != "done":
        raise InvalidImportError(
            f"The content of {shown(row.filename or str(row.id))} is no longer stored; upload the file again."
        )
    run_id = run_id_of(row)
    # The first delivery may have died between its commit and its message.
    is_due = format_name == ARCHIVE and not data_of(row).get(RESTORED)
    return ImportSummary(
        row.id,
        run_id,
        already_done=True,
        format=format_name,
        summary={},
        partial=partial_of(row),
        runs_to_update=(run_id,) if run_id and is_due else (),
    )


def _refused_by_database(error: DBAPIError, row: Import) -> InvalidImportError | None:
    code = getattr(error.orig, "pgcode", None) or ""
    filename = shown(row.filename or str(row.id))
    if code == UNIQUE_VIOLATION:
        return InvalidImportError(
            f"Another import wrote results of {filename} at the same moment; upload the file again."
        )
    if code[:2] in REFUSED_VALUE_CLASSES:
        reason = shown(str(error.orig).partition("\n")[0])
        return InvalidImportError(f"The database does not take a value of {filename}: {reason}.")
    return None


@dataclass(slots=True)
class _Import:
    """One import on its way from content to rows."""

    _session: Session
    _row: Import
    _content: IO[bytes]
    _limits: ImportLimits
    _on_progress: OnProgress
    _write_limits: WriteLimits
    _warnings: list[str] = field(default_factory=list)
    _partial: str | None = None
    _is_restored: bool = False

    def run(self) -> ImportSummary:
        format_name = detect_format(self._content, self._row.filename or "")
        is_archive = format_name == ARCHIVE
        content = WatchedContent(self._content, self._on_progress)
        file = IMPORTERS[format_name](cast("IO[bytes]", content), self._upload(), self._limits)
        beginning = file.beginning
        project_id = self._project(beginning)
        run, existed = run_row.make_or_find(self._session, beginning, project_id)
        target = RowTarget(
            run_id=run.id,
            project_id=project_id or run.project_id,
            start_time=beginning.start_time or run.start_time,
            upload_date=utc_now(),
            run_existed=existed,
            keeps_results=is_archive,
            chosen_project_id=project_id if beginning.archived else None,
        )
        references = References(self._session)
        writer = RowWriter(self._session, target, references, content.wrote, self._write_limits)
        content.start()
        parsed, written = writer.write(file), writer.written
        self._partial = _partial_sentence(parsed, written.results)
        if parsed.archived is not None and self._partial is None:
            self._is_restored = run_row.restore(self._session, run, parsed.archived, target, references)
        else:
            run_row.finish(self._session, run, parsed, self._project(parsed), self._partial)
        for left in sorted(written.left_runs):
            run_summary.refresh(self._session, left)
        self._warnings += parsed.warnings + written.too_large + references.missing
        if written.foreign:
            self._warnings.append(
                f"Artifacts left out, because another run has one of the same id: {len(written.foreign):,},"
                f" the first of them {written.foreign[0]}."
            )
        self._finish_row(run.id)
        return self._summary(run, format_name, written)

    def _upload(self) -> Upload:
        data = data_of(self._row)
        metadata, source = data.get("metadata"), data.get("source")
        if metadata is not None and not isinstance(metadata, dict):
            self._warnings.append("The metadata of the upload is no JSON object; left out.")
        return Upload(
            import_id=self._row.id,
            filename=self._row.filename or str(self._row.id),
            metadata=metadata if isinstance(metadata, dict) else {},
            source=source if isinstance(source, str) and source else None,
            has_project=bool(data.get("project_id")),
            keeps_partial=bool(data.get(PARTIAL)),
        )

    def _project(self, parsed: ParsedRun) -> UUID | None:
        of_upload = project_of_upload(self._session, data_of(self._row).get("project_id"))
        return of_upload or project_of_file(self._session, parsed.project)

    def _finish_row(self, run_id: UUID) -> None:
        before = {"error", "warnings", PARTIAL, RESTORED}
        kept = {key: value for key, value in data_of(self._row).items() if key not in before}
        facts: dict[str, Any] = {"warnings": self._warnings} if self._warnings else {}
        if self._partial is not None:
            facts[PARTIAL] = self._partial
        if self._is_restored:
            facts[RESTORED] = True
        self._row.data = kept | {"run_id": [str(run_id)]} | storable_json(facts)
        # Also when that is what was read: somebody may have marked the import failed since.
        flag_modified(self._row, "data")
        self._row.status = "done"

    def _summary(self, run: Run, format_name: str, written: WrittenRows) -> ImportSummary:
        # The Ibutsu server's own import of an archive sends it, too; one of JUnit is complete.
        to_update = (run.id,) if format_name == ARCHIVE and not self._is_restored else ()
        return ImportSummary(
            self._row.id,
            run.id,
            already_done=False,
            format=format_name,
            summary=run.summary or {},
            results=written.results,
            artifacts=written.artifacts,
            warnings=tuple(self._warnings),
            partial=self._partial,
            runs_to_update=to_update,
        )


def _partial_sentence(run: ParsedRun, results: int) -> str | None:
    """Say where a file breaks and what is kept, once its rows are written; None when it does not break.

    Raises InvalidImportError when not one result is whole.
    """
    if run.break_error is None:
        return None
    if not results:
        raise run.break_error
    kept = "one test case before that was" if results == 1 else f"{results:,} test cases before that were"
    return f"{run.break_error} The {kept} kept."
