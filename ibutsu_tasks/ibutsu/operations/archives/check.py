"""Reading an archive back as an import would, and comparing it with what was read from the database."""

from __future__ import annotations

import json
from collections import Counter
from hashlib import sha256
from typing import TYPE_CHECKING

from ibutsu_tasks.errors import InvalidImportError, RefusedError
from ibutsu_tasks.ibutsu.importers.archive.reader import parse_archive
from ibutsu_tasks.ibutsu.importers.parsed import (
    MAX_ARTIFACT_BYTES,
    ImportLimits,
    ParsedResult,
    ParsedRun,
    Upload,
)
from ibutsu_tasks.ibutsu.importers.reading import MAX_CONTENT_BYTES
from ibutsu_tasks.ibutsu.importers.spool import chunks_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path
    from uuid import UUID

    from ibutsu_tasks.ibutsu.importers.parsed import Columns, ParsedFile
    from ibutsu_tasks.retention.monitor import PruneMonitor

ROWS_BETWEEN_REPORTS = 100


class NotArchivableError(RefusedError):
    """Rows that an import would not bring back equal from an archive; they stay where they are."""


class ArchiveStoppedError(Exception):
    """The prune is to stop."""


class RowDigest:
    """Counts rows by kind and makes a checksum of every column and content, in order.

    The same for rows of the database and those of a file. At the run and every hundred rows it reports `step`
    to the monitor, and raises `ArchiveStoppedError` when that says stop.
    """

    def __init__(self, monitor: PruneMonitor, step: str) -> None:
        self._monitor = monitor
        self._step = step
        self._hash = sha256()
        self.rows: Counter[str] = Counter()

    @property
    def checksum(self) -> str:
        """The SHA-256 of what was taken so far."""
        return self._hash.hexdigest()

    def add(self, kind: str, columns: Columns, chunks: Iterable[bytes] = ()) -> None:
        """Take a row: the `run`, which comes first, a `result`, or an `artifact` with its content."""
        rows = self.rows.total()
        self.rows[kind] += 1
        if rows % ROWS_BETWEEN_REPORTS == 0:
            self._monitor.report_archive(self._step, rows)
            if self._monitor.should_stop():
                raise ArchiveStoppedError
        self._hash.update(json.dumps([kind, columns], sort_keys=True, default=_text).encode())
        content = sha256()
        for chunk in chunks:
            content.update(chunk)
        self._hash.update(content.digest())


def check_archive(
    path: Path, run_id: UUID, written: RowDigest, limits: ImportLimits, monitor: PruneMonitor
) -> None:
    """Read a file and compare every row and content in it with what was read from the database.

    Raises `NotArchivableError` when an import within `limits` would refuse it or bring back anything else,
    and `ArchiveStoppedError`.
    """
    size_bytes = path.stat().st_size
    if size_bytes > MAX_CONTENT_BYTES:
        raise NotArchivableError(f"it has {size_bytes:,} bytes; an upload may have {MAX_CONTENT_BYTES:,}")
    found = RowDigest(monitor, "checking")
    with path.open("rb") as file:
        try:
            run = _read_back(parse_archive(file, Upload(run_id, path.name), limits), found)
        except InvalidImportError as error:
            raise NotArchivableError(str(error).rstrip(".")) from error
    if found.checksum != written.checksum:
        reasons = " ".join(run.warnings) or (
            f"{found.rows['result']:,} results and {found.rows['artifact']:,} artifacts were read back,"
            f" {written.rows['result']:,} and {written.rows['artifact']:,} were written"
        )
        raise NotArchivableError(f"it does not read back equal: {reasons.rstrip('.')}")


def _read_back(file: ParsedFile, digest: RowDigest) -> ParsedRun:
    run = file.beginning
    if run.archived is not None:
        digest.add("run", run.archived.columns)
    for row in file.rows:
        if isinstance(row, ParsedRun):
            run = row
        elif isinstance(row, ParsedResult):
            digest.add("result", row.archived or {})
        elif len(row.content) <= MAX_ARTIFACT_BYTES:
            digest.add("artifact", row.archived or {}, chunks_of(row.content))
        else:
            raise NotArchivableError(
                f"an artifact has {len(row.content):,} bytes; an import takes {MAX_ARTIFACT_BYTES:,}"
            )
    return run


def _text(value: object) -> str:
    return f"{type(value).__name__} {value}"
