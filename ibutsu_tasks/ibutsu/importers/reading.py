"""A file read as its import reads it: less the artifacts that no import stores, which it names."""

from __future__ import annotations

from dataclasses import replace
from typing import IO, TYPE_CHECKING

from ibutsu_tasks.errors import InvalidImportError
from ibutsu_tasks.ibutsu.importers.checking import checked
from ibutsu_tasks.ibutsu.importers.findings import shown
from ibutsu_tasks.ibutsu.importers.foreign import without_exit
from ibutsu_tasks.ibutsu.importers.formats import formats, reader_of
from ibutsu_tasks.ibutsu.importers.packed import whole
from ibutsu_tasks.ibutsu.importers.parsed import ParsedArtifact, ParsedFile, ParsedRun

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from ibutsu_tasks.ibutsu.importers.parsed import ImportLimits, ParsedRow, Upload

MAX_CONTENT_BYTES = 1_000_000_000
"""PostgreSQL holds a little more, 1 GiB less its own few bytes, in one value."""


UNFORESEEN = "The import failed for an unforeseen reason; the worker's log says more."

OWN = "ibutsu_tasks."
"""How readers begin that unpack by themselves and need no check: an archive has whatever its database had."""


def refuse_large_upload(filename: str, size_bytes: int) -> None:
    """Raise `InvalidImportError` for a file that is larger than PostgreSQL holds in one value."""
    if size_bytes > MAX_CONTENT_BYTES:
        raise InvalidImportError(
            f"{shown(filename)} has {size_bytes:,} bytes; an upload may have {MAX_CONTENT_BYTES:,}.",
            "Split it, or leave out its largest attachments.",
        )


def read_file(format_name: str, content: IO[bytes], upload: Upload, limits: ImportLimits) -> ParsedFile:
    """Read a file of a format; the run at the end says which artifacts were left out."""
    reads = formats()[format_name].reads
    if reads.startswith(OWN):
        file = reader_of(format_name)(content, upload, limits)
    else:
        unpacked = whole(content, upload.filename, limits)
        with without_exit():
            found = reader_of(format_name)(unpacked, upload, limits)
        file = checked(found, reads, upload.filename)
    return ParsedFile(file.beginning, _storable_rows(file, limits))


def _storable_rows(file: ParsedFile, limits: ImportLimits) -> Iterator[ParsedRow | ParsedRun]:
    archived = file.beginning.archived
    stated_run_id = archived.columns["id"] if archived else None
    too_large: list[str] = []
    parted: list[UUID] = []
    for row in file.rows:
        if isinstance(row, ParsedRun):
            yield replace(row, warnings=row.warnings + too_large + _parted_sentence(parted))
            continue
        if isinstance(row, ParsedArtifact):
            if len(row.content) > limits.artifact_bytes:
                too_large.append(
                    f"The file {shown(row.filename)} of {len(row.content):,} bytes was left out;"
                    f" {limits.artifact_bytes:,} are the limit."
                )
                continue
            if _names_others(row, stated_run_id):
                parted.append(row.id)
        yield row


def _names_others(artifact: ParsedArtifact, stated_run_id: UUID | None) -> bool:
    """Say whether an archived artifact also belonged to a run or a result that is none of the file's."""
    if artifact.archived is None:
        return False
    if artifact.result_id is None:
        return artifact.archived["result_id"] is not None
    return artifact.archived["run_id"] not in (None, stated_run_id)


def _parted_sentence(parted: list[UUID]) -> list[str]:
    if not parted:
        return []
    what = "Artifacts of this run alone now, that were also another's"
    return [f"{what}: {len(parted):,}, the first of them {parted[0]}."]
