"""The unpacked bytes of a gzip file, as many as there are before damage."""

from __future__ import annotations

import gzip
import io
import zlib
from typing import IO, Any

from ibutsu_tasks.importers.parsed import CHUNK_BYTES

DAMAGE = (EOFError, gzip.BadGzipFile, zlib.error)
_BUFFER_BYTES = 256 * 1024
_CAREFUL_BYTES = 256


class _SmallReads:
    """A file that comes in small pieces."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def read(self, size: int, /) -> bytes:
        return self._file.read(min(size, _CAREFUL_BYTES))

    def seek(self, offset: int, /) -> int:
        return self._file.seek(offset)


class Unpacked:
    """The unpacked bytes of a gzip file, up to the last before damage; then one of `DAMAGE` is raised.

    zlib gives nothing of a damaged piece, not even what was whole, and a buffer that fails to fill up loses
    what it holds. So at damage the file is read again to the same place, in small pieces from there.
    """

    def __init__(self, packed: IO[bytes]) -> None:
        self._packed = packed
        self._is_careful = False
        self.position = 0
        packed.seek(0)
        self._stream: IO[bytes] | gzip.GzipFile = io.BufferedReader(self._gzip(packed), _BUFFER_BYTES)

    def read(self, size_bytes: int) -> bytes:
        """Read so many bytes, or fewer at the end."""
        try:
            data = self._stream.read(size_bytes)
        except DAMAGE:
            if self._is_careful:
                raise
            self._begin_carefully()
            data = self._stream.read(size_bytes)
        self.position += len(data)
        return data

    def _begin_carefully(self) -> None:
        self._is_careful = True
        self._packed.seek(0)
        self._stream = self._gzip(_SmallReads(self._packed))
        left = self.position
        while left:
            left -= len(self._stream.read(min(left, CHUNK_BYTES)))

    @staticmethod
    def _gzip(packed: Any) -> gzip.GzipFile:
        return gzip.GzipFile(fileobj=packed, mode="rb")
