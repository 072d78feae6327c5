"""The unpacked bytes of an archive, as many as there are before damage."""

from __future__ import annotations

import io
from typing import IO, Any

from ibutsu_tasks.ibutsu.importers.packed import DAMAGE, opener_of
from ibutsu_tasks.ibutsu.importers.parsed import CHUNK_BYTES

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
    """The unpacked bytes of a file, up to the last before damage; then EOFError or one of `DAMAGE` is raised.

    zlib gives nothing of a damaged piece, not even what was whole, and a buffer that fails to fill up loses
    what it holds. So at damage the file is read again to the same place, in small pieces from there.
    """

    def __init__(self, content: IO[bytes]) -> None:
        self._content = content
        self._opener = opener_of(content)
        self._is_careful = self._opener is None
        self.position = 0
        self._stream: Any = content
        if self._opener is not None:
            self._stream = io.BufferedReader(self._opener(content), _BUFFER_BYTES)

    def read(self, size_bytes: int) -> bytes:
        """Read so many bytes, or fewer at the end."""
        try:
            data: bytes = self._stream.read(size_bytes)
        except (EOFError, *DAMAGE) as error:
            if self._opener is None or self._is_careful or getattr(error, "errno", None) is not None:
                raise
            self._is_careful = True
            self._content.seek(0)
            self._stream = self._opener(_SmallReads(self._content))
            self._skip(self.position)
            data = self._stream.read(size_bytes)
        self.position += len(data)
        return data

    def _skip(self, size_bytes: int) -> None:
        while size_bytes:
            size_bytes -= len(self._stream.read(min(size_bytes, CHUNK_BYTES)))
