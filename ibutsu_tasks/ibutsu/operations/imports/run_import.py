"""Importing an uploaded file: its content becomes a run with results and artifacts, all or nothing.

The same import can run any number of times, also twice at once, and ends in the same rows.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import IO, TYPE_CHECKING, Any, cast

from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm.attributes import flag_modified

from ibutsu_tasks.clock import utc_now
from ibutsu_tasks.errors import BusyError, InvalidImportError
from ibutsu_tasks.ibutsu.importers.detection import detect_format
from ibutsu_tasks.ibutsu.importers.findings import shown
from ibutsu_tasks.ibutsu.importers.formats import ARCHIVE
from ibutsu_tasks.ibutsu.importers.parsed import ImportLimits, ParsedRun, Upload
from ibutsu_tasks.ibutsu.importers.reading import read_file
from ibutsu_tasks.ibutsu.importers.values import derived_id
from ibutsu_tasks.ibutsu.operations import run_summary
from ibutsu_tasks.ibutsu.operations.imports import run_row
from ibutsu_tasks.ibutsu.operations.imports.columns import References, RowTarget
from ibutsu_tasks.ibutsu.operations.imports.content import WatchedContent, drop_content, open_content
from ibutsu_tasks.ibutsu.operations.imports.ownership import ForeignRowsError, refuse_foreign_run
from ibutsu_tasks.ibutsu.operations.imports.projects import (
    missing_project,
    project_of_file,
    project_of_upload,
)
from ibutsu_tasks.ibutsu.operations.imports.records import (
    PARTIAL,
    SENT_AGAIN,
    current_row,
    data_of,
    partial_of,
    run_id_of,
)
from ibutsu_tasks.ibutsu.operations.imports.rows import WRITE_LIMITS, RowWriter, WriteLimits, WrittenRows
from ibutsu_tasks.text.storable import storable_json

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy.orm import Session

    from ibutsu_tasks.ibutsu.database.models import Import, Run
    from ibutsu_tasks.ibutsu.operations.imports.content import OnProgress

REFUSED_VALUE_CLASSES = ("22", "54")
"""SQLSTATE classes of a value that PostgreSQL does not take: data exception, limit exceeded."""

UNIQUE_VIOLATION = "23505"

MAX_TRIES = 5
"""Of one import in one transaction; then the task is sent again for later."""

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
    upload_format: str,
    limits: ImportLimits,
    on_progress: OnProgress = lambda *_: None,
    write_limits: WriteLimits = WRITE_LIMITS,
) -> ImportSummary:
    """Import the content of one row, in the session's transaction.

    The content decides the format; `upload_format`, which the upload's name decided, is what is reported of
    an import done before. `on_progress` is called for every piece read; it is to be quick.
    Raises RefusedError when there is no such import, InvalidImportError with the user's sentence when
    its file cannot be imported.
    """
    with open_content(session, import_id) as content:
        row = current_row(session, import_id)
        if content is None:
            return _done_before(row, upload_format)
        summary = _import_content(_Import(session, row, content, limits, on_progress, write_limits))
    drop_content(session, import_id)
    return summary


def _done_before(row: Import, upload_format: str) -> ImportSummary:
    if row.status != "done":
        raise InvalidImportError(
            f"The content of {shown(row.filename or str(row.id))} is no longer stored; upload the file again."
        )
    run_id = run_id_of(row)
    # The first delivery may have died between its commit and its message.
    is_due = upload_format == ARCHIVE and not data_of(row).get(RESTORED)
    return ImportSummary(
        row.id,
        run_id,
        already_done=True,
        format=upload_format,
        summary={},
        partial=partial_of(row),
        runs_to_update=(run_id,) if run_id and is_due else (),
    )


def _import_content(attempt: _Import) -> ImportSummary:
    """Import what the row holds, again from its beginning when that met somebody else's rows.

    Another import may write the same rows at the same moment; then this one sees them. Raises BusyError
    when that happens again and again.
    """
    session, row = attempt.session, attempt.row
    filename = shown(row.filename or str(row.id))
    for _ in range(MAX_TRIES):
        try:
            with session.begin_nested():
                return attempt.run()
        except ForeignRowsError as error:
            if attempt.own_run_id is not None:
                raise InvalidImportError(f"{error}; upload {filename} again.") from None
            attempt = attempt.with_own_ids(str(error))
        except DBAPIError as error:
            if getattr(error.orig, "pgcode", None) != UNIQUE_VIOLATION:
                refusal = _refused_by_database(error, filename)
                if refusal is None:
                    raise
                raise refusal from error
            attempt = replace(attempt, meets_rows=True)
        session.expire_all()
    raise BusyError(f"Other imports write the rows of {filename} at the same moment.", "Try again later.")


def _refused_by_database(error: DBAPIError, filename: str) -> InvalidImportError | None:
    code = getattr(error.orig, "pgcode", None) or ""
    if code[:2] in REFUSED_VALUE_CLASSES:
        reason = shown(str(error.orig).partition("\n")[0])
        return InvalidImportError(f"The database does not take a value of {filename}: {reason}.")
    return None


@dataclass(slots=True)
class _Import:
    """One try of an import on its way from content to rows."""

    session: Session
    row: Import
    _content: IO[bytes]
    _limits: ImportLimits
    _on_progress: OnProgress
    _write_limits: WriteLimits
    own_run_id: UUID | None = None
    """Where ids of the import's own stand for those that the file states: that of the run."""
    meets_rows: bool = False
    """Whether rows of the same ids may be there although the run was not."""
    foreign: str | None = None
    """Says whose the ids are that the file states."""
    _warnings: list[str] = field(default_factory=list, init=False)
    _partial: str | None = field(default=None, init=False)
    _is_restored: bool = field(default=False, init=False)

    def with_own_ids(self, foreign: str) -> _Import:
        """Give another try, with ids of the import's own."""
        own_run_id = derived_id(self.row.id, "own ids")
        return replace(self, own_run_id=own_run_id, meets_rows=True, foreign=foreign)

    def run(self) -> ImportSummary:
        format_name = detect_format(self._content, self.row.filename or "")
        is_archive = format_name == ARCHIVE
        content = WatchedContent(self._content, self._on_progress)
        file = read_file(format_name, cast("IO[bytes]", content), self._upload(), self._limits)
        beginning = file.beginning
        chosen = project_of_upload(self.session, data_of(self.row).get("project_id"))
        references = References(self.session)
        project_id = chosen or self._stated_project(beginning, references)
        run, existed = run_row.make_or_find(self.session, beginning, project_id)
        if existed:
            refuse_foreign_run(run, chosen)
        target = RowTarget(
            run_id=run.id,
            project_id=project_id or run.project_id,
            start_time=beginning.start_time or run.start_time,
            upload_date=utc_now(),
            run_existed=existed,
            keeps_results=is_archive,
            meets_rows=is_archive or existed or self.meets_rows,
            chosen_project_id=chosen,
            stated_run_id=beginning.archived.columns["id"] if beginning.archived else None,
        )
        writer = RowWriter(self.session, target, references, content.wrote, self._write_limits)
        content.start()
        parsed, written = writer.write(file), writer.written
        if parsed.break_error is not None and not (written.results and data_of(self.row).get(PARTIAL)):
            parsed.break_error.warnings = (*self._warnings, *parsed.warnings)
            raise parsed.break_error
        # A report may name its project only after its last result.
        project_id = chosen or self._stated_project(parsed, references)
        if existed:
            refuse_foreign_run(run, project_id)
        if project_id is None and parsed.archived is None and parsed.project:
            self._warnings.append(missing_project(parsed.project))
        self._partial = _partial_sentence(parsed, written.results)
        if parsed.archived is not None and self._partial is None:
            self._is_restored = run_row.restore(self.session, run, parsed.archived, target, references)
        else:
            assumed_start = None if existed else target.start_time
            run_row.finish(self.session, run, parsed, project_id, assumed_start, self._partial)
        for left in sorted(written.left_runs):
            run_summary.refresh(self.session, left)
        self._warnings += parsed.warnings + references.missing + written.sentences(are_kept=is_archive)
        self._finish_row(run.id)
        return self._summary(run, format_name, written)

    def _upload(self) -> Upload:
        data = data_of(self.row)
        if self.foreign is not None:
            self._warnings.append(
                f"{self.foreign}: what is there stays as it is, and this file became the run"
                f" {self.own_run_id}, with ids of its own."
            )
        metadata, source = data.get("metadata"), data.get("source")
        if metadata is not None and not isinstance(metadata, dict):
            self._warnings.append("The metadata of the upload is no JSON object; left out.")
        return Upload(
            import_id=self.row.id,
            filename=self.row.filename or str(self.row.id),
            metadata=metadata if isinstance(metadata, dict) else {},
            source=source if isinstance(source, str) and source else None,
            has_project=bool(data.get("project_id")),
            # Also unasked: so the warnings of a file that breaks are known, which ends the import then.
            keeps_partial=True,
            own_run_id=self.own_run_id,
        )

    def _stated_project(self, parsed: ParsedRun, references: References) -> UUID | None:
        """Give the project that the file states: by its id in an archived row, else by name or id."""
        if parsed.archived is not None:
            return references.check(parsed.archived.columns["project_id"])
        return project_of_file(self.session, parsed.project)

    def _finish_row(self, run_id: UUID) -> None:
        before = {"error", "warnings", PARTIAL, RESTORED, SENT_AGAIN}
        kept = {key: value for key, value in data_of(self.row).items() if key not in before}
        facts: dict[str, Any] = {"warnings": self._warnings} if self._warnings else {}
        if self._partial is not None:
            facts[PARTIAL] = self._partial
        if self._is_restored:
            facts[RESTORED] = True
        self.row.data = kept | {"run_id": [str(run_id)]} | storable_json(facts)
        # Also when that is what was read: somebody may have marked the import failed since.
        flag_modified(self.row, "data")
        self.row.status = "done"

    def _summary(self, run: Run, format_name: str, written: WrittenRows) -> ImportSummary:
        # The Ibutsu server's own import of an archive sends it, too; one of JUnit is complete.
        to_update = (run.id,) if format_name == ARCHIVE and not self._is_restored else ()
        return ImportSummary(
            self.row.id,
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
    """Say where a file breaks and what is kept, once its rows are written; None when it does not break."""
    if run.break_error is None:
        return None
    kept = "one test case before that was" if results == 1 else f"{results:,} test cases before that were"
    return f"{run.break_error} The {kept} kept."
