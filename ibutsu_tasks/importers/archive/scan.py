"""One reading of an archive, front to back."""

from __future__ import annotations

from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from ibutsu_tasks.errors import InvalidImportError
from ibutsu_tasks.importers.archive.layout import Layout, Place
from ibutsu_tasks.importers.archive.tar_stream import Member, TarStream
from ibutsu_tasks.importers.json_documents import BrokenDocumentError, json_object

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from ibutsu_tasks.importers.findings import Findings
    from ibutsu_tasks.importers.parsed import ImportLimits, Upload


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
        self._layout = Layout(upload.filename, findings)
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
