"""Reading an archive back as an import would, and comparing it with what was read from the database."""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from ibutsu_tasks.errors import InvalidImportError, RefusedError
from ibutsu_tasks.importers.archive.reader import parse_archive
from ibutsu_tasks.importers.parsed import ImportLimits, ParsedResult, ParsedRun, Upload
from ibutsu_tasks.importers.spool import chunks_of
from ibutsu_tasks.operations.imports.rows import MAX_ARTIFACT_BYTES
from ibutsu_tasks.operations.imports.uploads import MAX_CONTENT_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path
    from uuid import UUID

    from ibutsu_tasks.importers.parsed import Columns, ParsedFile
    from ibutsu_tasks.operations.prune.watch import PruneMonitor

ROWS_BETWEEN_REPORTS = 100


class NotArchivableError(RefusedError):
    """Rows that an import would not bring back equal from an archive; they stay where they are."""


class ArchiveStoppedError(Exception):
    """The prune is to stop."""


@dataclass(frozen=True, slots=True)
class Tally:
    """What an archive holds. `checksum` is a SHA-256 over every column and content, in order."""

    results: int
    artifacts: int
    checksum: str


class RowDigest:
    """Counts and checksums rows, the same for those of the database and those of a file.

    At the run and every hundred rows it reports `step` to the monitor, and raises `ArchiveStoppedError` when
    that says stop.
    """

    def __init__(self, monitor: PruneMonitor, step: str) -> None:
        self._monitor = monitor
        self._step = step
        self._results = 0
        self._artifacts = 0
        self._hash = sha256()

    def add_run(self, columns: Columns) -> None:
        """Take the run, which comes first."""
        self._add("run", columns)

    def add_result(self, columns: Columns) -> None:
        """Take a result."""
        self._results += 1
        self._add("result", columns)

    def add_artifact(self, columns: Columns, chunks: Iterable[bytes]) -> None:
        """Take an artifact with its content."""
        self._artifacts += 1
        self._add("artifact", columns)
        content = sha256()
        for chunk in chunks:
            content.update(chunk)
        self._hash.update(content.digest())

    def tally(self) -> Tally:
        """Give what was taken so far."""
        return Tally(self._results, self._artifacts, self._hash.hexdigest())

    def _add(self, kind: str, columns: Columns) -> None:
        rows = self._results + self._artifacts
        if rows % ROWS_BETWEEN_REPORTS == 0:
            self._monitor.report_archive(self._step, rows)
            if self._monitor.should_stop():
                raise ArchiveStoppedError
        named = json.dumps([kind, columns], sort_keys=True, default=_text)
        self._hash.update(named.encode())


def check_archive(
    path: Path, run_id: UUID, expected: Tally, limits: ImportLimits, monitor: PruneMonitor
) -> None:
    """Read a file and compare every row and content in it with what was read from the database.

    Raises `NotArchivableError` when an import within `limits` would refuse it or bring back anything else,
    and `ArchiveStoppedError`.
    """
    size_bytes = path.stat().st_size
    if size_bytes > MAX_CONTENT_BYTES:
        raise NotArchivableError(f"it has {size_bytes:,} bytes; an upload may have {MAX_CONTENT_BYTES:,}")
    with path.open("rb") as file:
        try:
            file_read = parse_archive(file, Upload(run_id, path.name), limits)
            run, found = _tally(file_read, RowDigest(monitor, "checking"))
        except InvalidImportError as error:
            raise NotArchivableError(str(error).rstrip(".")) from error
    if found != expected:
        reasons = " ".join(run.warnings) or (
            f"{found.results:,} results and {found.artifacts:,} artifacts were read back,"
            f" {expected.results:,} and {expected.artifacts:,} were written"
        )
        raise NotArchivableError(f"it does not read back equal: {reasons.rstrip('.')}")


def _tally(file: ParsedFile, digest: RowDigest) -> tuple[ParsedRun, Tally]:
    run = file.beginning
    if run.archived is not None:
        digest.add_run(run.archived.columns)
    for row in file.rows:
        if isinstance(row, ParsedRun):
            run = row
            continue
        columns = _columns(row.archived)
        if isinstance(row, ParsedResult):
            digest.add_result(columns)
        elif len(row.content) <= MAX_ARTIFACT_BYTES:
            digest.add_artifact(columns, chunks_of(row.content))
        else:
            raise NotArchivableError(
                f"an artifact has {len(row.content):,} bytes; an import takes {MAX_ARTIFACT_BYTES:,}"
            )
    return run, digest.tally()


def _columns(archived: Columns | None) -> Columns:
    return {} if archived is None else archived


def _text(value: object) -> str:
    return f"{type(value).__name__} {value}"
