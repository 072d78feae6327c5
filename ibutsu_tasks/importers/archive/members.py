"""The members of an archive, front to back: to which run or result each file belongs, by its folder."""

from __future__ import annotations

from contextlib import contextmanager
from enum import Enum
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from ibutsu_tasks.errors import InvalidImportError
from ibutsu_tasks.importers.archive.tar_stream import Member, TarStream
from ibutsu_tasks.importers.findings import Findings, shown
from ibutsu_tasks.importers.json_documents import BrokenDocumentError, json_object
from ibutsu_tasks.importers.values import uuid_or_none

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from ibutsu_tasks.importers.parsed import ImportLimits, Upload

_RUN_DOCUMENT, _RESULT_DOCUMENT = "run.json", "result.json"
_MAC_LITTER = frozenset({".DS_Store", "__MACOSX"})


class Kind(Enum):
    """What a file of the archive is."""

    RUN = "run.json"
    RESULT = "result.json"
    ARTIFACT = "artifact"


class Place(NamedTuple):
    """A file that belongs to the run, or to the result in `result_folder`."""

    kind: Kind
    result_folder: UUID | None
    below: tuple[str, ...]
    """Its path below the folder it belongs to."""


class _Layout:
    """Places members one after the other, and learns which folder is the run's."""

    def __init__(self, filename: str, findings: Findings) -> None:
        self.run_folder: UUID | None = None
        self._filename = filename
        self._findings = findings

    def place(self, member: Member) -> Place | None:
        """Tell what a member is; None when it is a directory or is left out.

        Raises `InvalidImportError` when a second run folder appears.
        """
        parts = member.parts
        if not parts or _is_litter(parts):
            return None
        folder = uuid_or_none(parts[0])
        if folder is not None and (len(parts) > 1 or member.is_directory):
            self._enter_run(folder)
        if member.is_directory:
            return None
        if folder is None or len(parts) == 1:
            self._findings.note("outside", f"{shown(member.path)} lies in no run folder and was left out")
            return None
        return self._place_in_run(member, parts[1:])

    def _place_in_run(self, member: Member, parts: tuple[str, ...]) -> Place | None:
        if len(parts) == 1:
            return Place(Kind.RUN if parts[0] == _RUN_DOCUMENT else Kind.ARTIFACT, None, parts)
        folder = uuid_or_none(parts[0])
        if folder is None:
            self._findings.note(
                "foreign folder",
                f"{shown(member.path)} lies in a folder that is no result's and was left out",
            )
            return None
        if parts[1:] == (_RESULT_DOCUMENT,):
            return Place(Kind.RESULT, folder, parts[1:])
        if len(parts[1:]) > 1:
            self._findings.note(
                "deeper", f"{shown(member.path)} lies deeper than usual and was kept by its name"
            )
        return Place(Kind.ARTIFACT, folder, parts[1:])

    def _enter_run(self, folder: UUID) -> None:
        if self.run_folder is None:
            self.run_folder = folder
        elif folder != self.run_folder:
            raise InvalidImportError(
                f"{shown(self._filename)} holds more than one run: {self.run_folder} and {folder}.",
                "Upload one archive per run.",
            )


class Placed(NamedTuple):
    """A file of the archive, and what it is there."""

    place: Place
    member: Member


class ArchivePass:
    """The files that belong to the run; the content of each can be read once, before the next is asked for.

    Everything raises `InvalidImportError` for whatever is wrong with the archive.
    """

    def __init__(self, content: IO[bytes], upload: Upload, limits: ImportLimits, findings: Findings) -> None:
        self._content = content
        self._upload = upload
        self._limits = limits
        self._layout = _Layout(upload.filename, findings)
        self._stream = self._open(careful=upload.keeps_partial)
        self._size_bytes = 0

    @property
    def run_folder(self) -> UUID | None:
        """The folder everything lies in, once a file in it was met."""
        return self._layout.run_folder

    def files(self) -> Iterator[Placed]:
        """Yield the files."""
        with self._exact_about_damage():
            for member in self._stream.members():
                place = self._layout.place(member)
                if place is not None:
                    self._size_bytes = member.size_bytes
                    yield Placed(place, member)

    def data(self) -> bytes:
        """Read all of the current file."""
        with self._exact_about_damage():
            return self._stream.data(self._size_bytes)

    def chunks(self) -> Iterator[bytes]:
        """Read the current file in pieces of at most `CHUNK_BYTES`."""
        with self._exact_about_damage():
            yield from self._stream.chunks()

    def document(self) -> dict[str, Any]:
        """Read the current file as a row. Raises `BrokenDocumentError`, too."""
        if self._size_bytes > self._limits.document_bytes:
            raise BrokenDocumentError(f"is larger than {self._limits.document_bytes:,} bytes")
        return json_object(self.data())

    def _open(self, *, careful: bool) -> TarStream:
        return TarStream(self._content, self._upload.filename, self._limits, careful=careful)

    @contextmanager
    def _exact_about_damage(self) -> Iterator[None]:
        """Refuse a damaged archive where the damage is.

        A buffer that fails to fill up loses what was whole, and with it the place.
        """
        try:
            yield
        except InvalidImportError:
            if self._stream.is_damaged and not self._upload.keeps_partial:
                for _ in self._open(careful=True).members():
                    pass
            raise


def _is_litter(parts: tuple[str, ...]) -> bool:
    """Tell what macOS puts into archives on its own."""
    return not _MAC_LITTER.isdisjoint(parts) or parts[-1].startswith("._")
