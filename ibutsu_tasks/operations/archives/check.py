"""Reading an archive back as an import would, before what it holds is deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ibutsu_tasks.errors import InvalidImportError
from ibutsu_tasks.importers.archive.reader import parse_archive
from ibutsu_tasks.importers.parsed import ImportLimits, ParsedResult, Upload
from ibutsu_tasks.importers.spool import chunks_of
from ibutsu_tasks.operations.archives.digest import RowDigest, Tally
from ibutsu_tasks.operations.archives.writer import NotArchivableError
from ibutsu_tasks.operations.imports.rows import MAX_ARTIFACT_BYTES
from ibutsu_tasks.operations.imports.uploads import MAX_CONTENT_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from uuid import UUID

    from ibutsu_tasks.importers.parsed import Columns, ParsedRun


def check_archive(
    path: Path, run_id: UUID, expected: Tally, limits: ImportLimits, on_row: Callable[[], None]
) -> None:
    """Read a file and compare every row and content in it with what was read from the database.

    `on_row` is called for each result and artifact.

    Raises `NotArchivableError` when an import within `limits` would refuse it or bring back anything else.
    """
    size_bytes = path.stat().st_size
    if size_bytes > MAX_CONTENT_BYTES:
        raise NotArchivableError(f"it has {size_bytes:,} bytes; an upload may have {MAX_CONTENT_BYTES:,}")
    with path.open("rb") as file:
        try:
            run = parse_archive(file, Upload(run_id, path.name), limits)
            found = _tally(run, on_row)
        except InvalidImportError as error:
            raise NotArchivableError(str(error).rstrip(".")) from error
    if found != expected:
        reasons = " ".join(run.warnings) or (
            f"{found.results:,} results and {found.artifacts:,} artifacts were read back,"
            f" {expected.results:,} and {expected.artifacts:,} were written"
        )
        raise NotArchivableError(f"it does not read back equal: {reasons.rstrip('.')}")


def _tally(run: ParsedRun, on_row: Callable[[], None]) -> Tally:
    digest = RowDigest()
    if run.archived is not None:
        digest.add_run(run.archived.columns)
    for row in run.rows:
        on_row()
        columns = _columns(row.archived)
        if isinstance(row, ParsedResult):
            digest.add_result(columns)
        elif len(row.content) <= MAX_ARTIFACT_BYTES:
            digest.add_artifact(columns, chunks_of(row.content))
        else:
            raise NotArchivableError(
                f"an artifact has {len(row.content):,} bytes; an import takes {MAX_ARTIFACT_BYTES:,}"
            )
    return digest.tally()


def _columns(archived: Columns | None) -> Columns:
    return {} if archived is None else archived
