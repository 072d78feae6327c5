"""The members of an archive, front to back, and what each is by its path; joins nothing."""

from __future__ import annotations

from enum import Enum, auto
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from ibutsu_tasks.errors import InvalidImportError
from ibutsu_tasks.ibutsu.importers.archive.tar_stream import Member, TarStream
from ibutsu_tasks.ibutsu.importers.findings import Findings, shown
from ibutsu_tasks.ibutsu.importers.json_documents import BrokenDocumentError, json_object
from ibutsu_tasks.ibutsu.importers.values import uuid_or_none

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from ibutsu_tasks.ibutsu.importers.parsed import ImportLimits, Upload

# What macOS puts into archives on its own, beside files whose names begin with `._`.
_MAC_LITTER = frozenset({".DS_Store", "__MACOSX"})


_DEPTHS = {"run.json": 2, "result.json": 3}
"""How deep the documents lie, with the folder of the run."""


class Kind(Enum):
    """What a file of the archive is."""

    RUN = auto()
    RESULT = auto()
    ARTIFACT = auto()


class ArchiveFile(NamedTuple):
    """A file, or a link, that belongs to the run, or to the result in `result_folder`."""

    kind: Kind
    result_folder: UUID | None
    below: tuple[str, ...]
    """Its path below the folder it belongs to."""
    member: Member


def is_bare(content: IO[bytes], upload: Upload, limits: ImportLimits) -> bool:
    """Tell that an archive was packed from inside the run folder, by where its first document lies."""
    try:
        for member in TarStream(content, upload.filename, limits).members():
            if member.parts and (depth := _DEPTHS.get(member.parts[-1])):
                return len(member.parts) < depth
    except InvalidImportError:
        # Whoever reads the archive says so.
        pass
    return False


class ArchivePass:
    """The files that belong to the run; the content of each can be read once, before the next is asked for.

    Everything raises `InvalidImportError` for whatever is wrong with the archive.
    """

    def __init__(
        self,
        content: IO[bytes],
        upload: Upload,
        limits: ImportLimits,
        findings: Findings,
        *,
        is_bare: bool = False,
    ) -> None:
        self.run_folder: UUID | None = None
        """The folder everything lies in, once a file in it was met."""
        self.stream = TarStream(content, upload.filename, limits)
        self._is_bare = is_bare
        self._filename = upload.filename
        self._limits = limits
        self._findings = findings

    def files(self) -> Iterator[ArchiveFile]:
        """Yield the files."""
        for member in self.stream.members():
            if (file := self._place(member)) is not None:
                yield file

    def document(self, member: Member) -> dict[str, Any]:
        """Read the current file, `member`, as a row. Raises `BrokenDocumentError`, too."""
        if member.size_bytes > self._limits.document_bytes:
            raise BrokenDocumentError(f"is larger than {self._limits.document_bytes:,} bytes")
        return json_object(self.stream.data())

    def _place(self, member: Member) -> ArchiveFile | None:
        """Tell what a member is; None when it is a directory or is left out."""
        parts = member.parts
        if not parts or not _MAC_LITTER.isdisjoint(parts) or parts[-1].startswith("._"):
            return None
        if self._is_bare:
            return None if member.is_directory else self._place_in_run(member, parts)
        folder = uuid_or_none(parts[0])
        if folder is not None and (len(parts) > 1 or member.is_directory):
            self._enter_run(folder)
        if member.is_directory:
            return None
        if folder is None or len(parts) == 1:
            self._findings.note("outside", f"{shown(member.path)} lies in no run folder and was left out")
            return None
        return self._place_in_run(member, parts[1:])

    def _place_in_run(self, member: Member, parts: tuple[str, ...]) -> ArchiveFile | None:
        if member.is_sparse:
            self._findings.note("sparse", f"{shown(member.path)} is a sparse file and was left out")
            return None
        if len(parts) == 1:
            return ArchiveFile(Kind.RUN if parts[0] == "run.json" else Kind.ARTIFACT, None, parts, member)
        folder, below = uuid_or_none(parts[0]), parts[1:]
        if folder is None:
            sentence = f"{shown(member.path)} lies in a folder that is no result's and was left out"
            self._findings.note("foreign folder", sentence)
            return None
        if len(below) > 1:
            sentence = f"{shown(member.path)} lies deeper than usual and was stored by its name"
            self._findings.note("deeper", sentence)
        is_result = below == ("result.json",)
        return ArchiveFile(Kind.RESULT if is_result else Kind.ARTIFACT, folder, below, member)

    def _enter_run(self, folder: UUID) -> None:
        if self.run_folder is None:
            self.run_folder = folder
        elif folder != self.run_folder:
            raise InvalidImportError(
                f"{shown(self._filename)} holds more than one run: {self.run_folder} and {folder}.",
                "Upload one archive per run.",
            )
