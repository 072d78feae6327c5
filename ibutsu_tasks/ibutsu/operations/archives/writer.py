"""Rows of a run as a `.tar.gz` in the layout of pytest-ibutsu, written while they are read."""

from __future__ import annotations

import gzip
import re
import tarfile
from datetime import UTC
from itertools import groupby
from typing import IO, TYPE_CHECKING

from ibutsu_tasks.ibutsu.importers.archive.pruned_rows import artifact_comment, result_member, run_member
from ibutsu_tasks.ibutsu.importers.values import uuid_or_none
from ibutsu_tasks.ibutsu.operations.archives.check import NotArchivableError, RowDigest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime
    from uuid import UUID

    from ibutsu_tasks.ibutsu.importers.parsed import ArchivedRun, Columns, ImportLimits
    from ibutsu_tasks.ibutsu.operations.archives.reader import Part, PartReader, StoredArtifact
    from ibutsu_tasks.retention.monitor import PruneMonitor

_PLAIN_NAME = re.compile(r"\w[\w .-]*\w")
_PLAIN_NAME_BYTES = 200
_DOCUMENTS = {"run.json", "result.json"}
_OTHERS = re.compile(r"[^\w.-]+", re.ASCII)
_MODE = 0o640


def write_run(
    reader: PartReader, file: IO[bytes], limits: ImportLimits, monitor: PruneMonitor
) -> tuple[RowDigest, set[UUID]] | None:
    """Write what `reader` reads to `file`; None when the run is gone. The same rows make the same bytes.

    Gives the digest of what was read, and the ids of the rows that may go for it: the run's own, or some.
    Raises `NotArchivableError` when an import would refuse the archive for its size, and
    `ArchiveStoppedError`.
    """
    run = reader.run()
    if run is None:
        return None
    # No name and no time: whoever prunes again after a crash gets the same file.
    with gzip.GzipFile(filename="", fileobj=file, mode="wb", compresslevel=6, mtime=0) as packed:
        writer = _Writer(packed, limits, reader.part, RowDigest(monitor, "writing"))
        writer.add_run(run)
        writer.add_artifacts(str(reader.part.run_id), reader.run_artifacts())
        writer.add_results(reader.results(), reader.result_artifacts())
        packed.write(bytes(2 * tarfile.BLOCKSIZE))
    return writer.digest, writer.root_ids


class _Writer:
    """Writes the members of one archive and digests their rows."""

    def __init__(self, file: gzip.GzipFile, limits: ImportLimits, part: Part, digest: RowDigest) -> None:
        self._file = file
        self._limits = limits
        self._part = part
        self._unpacked_bytes = 0
        self.digest = digest
        self.root_ids: set[UUID] = {part.run_id} if part.table == "runs" else set()

    def add_run(self, run: ArchivedRun) -> None:
        self.digest.add("run", run.columns)
        document, comment = run_member(run)
        self._add(f"{self._part.run_id}/run.json", run.columns["start_time"], document, comment)

    def add_results(self, results: Iterable[Columns], artifacts: Iterable[StoredArtifact]) -> None:
        """Write each result with its artifacts behind it; both come in the order of the results' ids."""
        of_result = groupby(artifacts, key=lambda artifact: artifact.columns["result_id"])
        owner, group = next(of_result, (None, iter(())))
        for columns in results:
            folder = f"{self._part.run_id}/{columns['id']}"
            self.digest.add("result", columns)
            document, comment = result_member(columns)
            self._add(f"{folder}/result.json", columns["start_time"], document, comment)
            if self._part.table == "results":
                self.root_ids.add(columns["id"])
            if owner == columns["id"]:
                self.add_artifacts(folder, group)
                owner, group = next(of_result, (None, iter(())))

    def add_artifacts(self, folder: str, artifacts: Iterable[StoredArtifact]) -> None:
        """Write the artifacts of one folder."""
        names = set(_DOCUMENTS)
        for artifact in artifacts:
            columns = artifact.columns
            name = _name(columns, names)
            names.add(name)
            self._start(
                f"{folder}/{name}", columns["upload_date"], artifact.size_bytes, artifact_comment(columns)
            )
            self.digest.add("artifact", columns, self._written(artifact.chunks()))
            self._write(bytes(-artifact.size_bytes % tarfile.BLOCKSIZE))
            if self._part.table == "artifacts":
                self.root_ids.add(columns["id"])

    def _add(self, path: str, moment: datetime, document: bytes, comment: str | None) -> None:
        self._start(path, moment, len(document), comment)
        self._write(document)
        self._write(bytes(-len(document) % tarfile.BLOCKSIZE))

    def _start(self, path: str, moment: datetime, size_bytes: int, comment: str | None) -> None:
        info = tarfile.TarInfo(path)
        info.size, info.mode = size_bytes, _MODE
        info.mtime = int(moment.replace(tzinfo=UTC).timestamp())
        if comment is not None:
            info.pax_headers = {"comment": comment}
        # Not by a TarFile: it remembers every member it wrote.
        self._write(info.tobuf(tarfile.PAX_FORMAT))

    def _written(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            self._write(chunk)
            yield chunk

    def _write(self, data: bytes) -> None:
        self._unpacked_bytes += len(data)
        if self._unpacked_bytes > self._limits.unpacked_bytes:
            raise NotArchivableError(
                f"it unpacks to more than {self._limits.unpacked_bytes:,} bytes,"
                " the limit IBUTSU_TASKS_IMPORT_MAX_UNPACKED_BYTES"
            )
        self._file.write(data)


def _name(columns: Columns, taken: set[str]) -> str:
    """Name the file of an artifact: as it is called, or by its id where that leads astray or is taken."""
    name = columns["filename"] or ""
    is_plain = _PLAIN_NAME.fullmatch(name) and len(name.encode()) <= _PLAIN_NAME_BYTES
    if is_plain and name not in taken and uuid_or_none(name) is None:
        return str(name)
    return f"artifact-{columns['id']}-{_OTHERS.sub('_', name)[-40:]}".rstrip("-.")
