"""Passes over the files of an archive: one reads it, and remembers a small one, so that the next need not."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, NamedTuple

from ibutsu_tasks.importers.json_documents import BrokenDocumentError, json_object
from ibutsu_tasks.importers.parsed import CHUNK_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ibutsu_tasks.importers.archive_layout import Layout, Place
    from ibutsu_tasks.importers.parsed import ImportLimits
    from ibutsu_tasks.importers.tar_stream import Member, TarStream

RECORDED_BYTES = 16 * 1024**2
"""What the files of an archive may take in memory to be remembered."""

_FILE_BYTES = 1024
"""About what a file takes besides its content."""


class Placed(NamedTuple):
    """A file of the archive, and what it is there."""

    place: Place
    member: Member


class Pass(ABC):
    """The files that belong to the run, front to back; the content of each once, before the next."""

    def __init__(self, limits: ImportLimits) -> None:
        self._limits = limits
        self._size_bytes = 0

    @abstractmethod
    def files(self) -> Iterator[Placed]:
        """Yield the files. Raises `InvalidImportError` for whatever is wrong with the archive."""

    @abstractmethod
    def data(self) -> bytes:
        """Give all of the current file."""

    @abstractmethod
    def chunks(self) -> Iterator[bytes]:
        """Give the current file in pieces of at most `CHUNK_BYTES`."""

    def document(self) -> dict[str, Any]:
        """Give the current file as a row. Raises `BrokenDocumentError`."""
        if self._size_bytes > self._limits.document_bytes:
            raise BrokenDocumentError(f"is larger than {self._limits.document_bytes:,} bytes")
        return json_object(self.data())


class StreamedPass(Pass):
    """Reads the archive."""

    def __init__(self, stream: TarStream, layout: Layout, limits: ImportLimits) -> None:
        super().__init__(limits)
        self._stream = stream
        self._layout = layout

    def files(self) -> Iterator[Placed]:
        """Yield the files."""
        for member in self._stream.members():
            place = self._layout.place(member)
            if place is not None:
                self._size_bytes = member.size_bytes
                yield Placed(place, member)

    def data(self) -> bytes:
        """Read all of the current file."""
        return self._stream.data(self._size_bytes)

    def chunks(self) -> Iterator[bytes]:
        """Read the current file in pieces."""
        return self._stream.chunks()


class RecordingPass(StreamedPass):
    """Reads the archive. When it was small, `recorded` gives its files again."""

    def __init__(self, stream: TarStream, layout: Layout, limits: ImportLimits) -> None:
        super().__init__(stream, layout, limits)
        self._kept: list[tuple[Placed, bytes]] | None = []
        self._kept_bytes = 0
        self._is_complete = False

    @property
    def recorded(self) -> Pass | None:
        """The same pass once more, out of memory; None when there was too much to remember."""
        return _RecordedPass(self._kept, self._limits) if self._is_complete and self._kept else None

    def files(self) -> Iterator[Placed]:
        """Yield the files."""
        for file in super().files():
            self._keep(file)
            yield file
        self._is_complete = True

    def _keep(self, file: Placed) -> None:
        self._kept_bytes += self._size_bytes + _FILE_BYTES
        if self._kept_bytes > RECORDED_BYTES:
            self._kept = None
        if self._kept is not None:
            self._kept.append((file, super().data()))

    def data(self) -> bytes:
        """Read all of the current file."""
        return super().data() if self._kept is None else self._kept[-1][1]

    def chunks(self) -> Iterator[bytes]:
        """Read the current file in pieces."""
        return super().chunks() if self._kept is None else _chunks_of(self.data())


class _RecordedPass(Pass):
    def __init__(self, kept: list[tuple[Placed, bytes]], limits: ImportLimits) -> None:
        super().__init__(limits)
        self._kept = kept
        self._data = b""

    def files(self) -> Iterator[Placed]:
        for file, data in self._kept:
            self._data, self._size_bytes = data, len(data)
            yield file

    def data(self) -> bytes:
        return self._data

    def chunks(self) -> Iterator[bytes]:
        return _chunks_of(self._data)


def _chunks_of(data: bytes) -> Iterator[bytes]:
    return (data[at : at + CHUNK_BYTES] for at in range(0, len(data), CHUNK_BYTES))
