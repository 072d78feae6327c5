"""Files packed by gzip, bzip2, xz or zstd, told by their first bytes and read as what they hold."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import sys
import zlib
from typing import IO, TYPE_CHECKING, Any

from ibutsu_tasks.errors import InvalidImportError
from ibutsu_tasks.ibutsu.importers.findings import shown
from ibutsu_tasks.ibutsu.importers.parsed import CHUNK_BYTES

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from collections.abc import Callable

    from ibutsu_tasks.ibutsu.importers.parsed import ImportLimits

XZ_MEMORY_BYTES = 160 * 1024**2
"""What the window of an xz file may take; that of `xz -9` takes 65 MiB, and zstd's at most 128."""
# What is left of a piece is copied at the end of each stream in it.
_XZ_PIECE_BYTES = 8 * 1024
_XZ_MAGIC = b"\xfd7zXZ\0"
_TOO_MUCH_MEMORY = "Memory usage limit exceeded"

_FOLLOWED_BY_OTHERS = "Not a gzipped file"
"""Begins the error about bytes behind the end of a gzip file, which are no part of it."""


class _Gzip(gzip.GzipFile):
    """A gzip file that ends where it ends, whatever follows, and gives what it has before it fails."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(fileobj=file, mode="rb")

    def read1(self, size: int = -1) -> bytes:
        try:
            return super().read1(size)
        except gzip.BadGzipFile as error:
            if str(error).startswith(_FOLLOWED_BY_OTHERS):
                return b""
            raise

    def read(self, size: int | None = -1) -> bytes:
        pieces, left = [], sys.maxsize if size is None or size < 0 else size
        while left and (piece := self.read1(min(left, CHUNK_BYTES))):
            pieces.append(piece)
            left -= len(piece)
        return b"".join(pieces)

    def readinto(self, buffer: Any) -> int:
        data = self.read1(len(buffer))
        buffer[: len(data)] = data
        return len(data)


class _Xz(io.RawIOBase):
    """An xz file, unpacked with a window no larger than zstd takes; `lzma.LZMAFile` takes one of 4 GiB."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._rewind()

    def _rewind(self) -> None:
        self._file.seek(0)
        self._position = 0
        self._begin(b"")

    def _begin(self, packed: bytes) -> None:
        self._stream = lzma.LZMADecompressor(memlimit=XZ_MEMORY_BYTES)
        self._packed = packed

    def read1(self, size: int = -1, /) -> bytes:
        """Give some bytes, none at the end. Raises EOFError where the file is cut off."""
        data = b""
        while not data and not self._is_at_end():
            data = self._unpack(size)
        self._position += len(data)
        return data

    def _is_at_end(self) -> bool:
        """Go on to the next of several streams, and past zeros between; say whether there is none."""
        while self._stream.eof:
            packed = self._stream.unused_data.lstrip(b"\0")
            while len(packed) < len(_XZ_MAGIC) and (more := self._file.read(_XZ_PIECE_BYTES)):
                packed = (packed + more).lstrip(b"\0")
            if not packed.startswith(_XZ_MAGIC):
                return True
            self._begin(packed)
        return False

    def _unpack(self, size: int) -> bytes:
        packed, self._packed = self._packed, b""
        if self._stream.needs_input and not packed and not (packed := self._file.read(_XZ_PIECE_BYTES)):
            raise EOFError
        try:
            return self._stream.decompress(packed, size)
        except lzma.LZMAError as error:
            if str(error) != _TOO_MUCH_MEMORY:
                raise
            raise InvalidImportError(
                f"The file takes more than {XZ_MEMORY_BYTES:,} bytes of memory to unpack.",
                "Pack it with a smaller window, as `xz -9` does.",
            ) from None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self.read1(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, _whence: int = 0, /) -> int:
        # Anew at the same place, too: what failed there is not to be gone on with.
        if offset <= self._position:
            self._rewind()
        while self._position < offset and self.read1(min(offset - self._position, CHUNK_BYTES)):
            pass
        return self._position


_OPENERS: dict[bytes, Callable[[Any], Any]] = {
    b"\x1f\x8b": _Gzip,
    b"BZh": bz2.BZ2File,
    _XZ_MAGIC: _Xz,
    b"\x28\xb5\x2f\xfd": zstd.ZstdFile,
}
"""What opens a packed file, by its first bytes."""

DAMAGE = (gzip.BadGzipFile, zlib.error, lzma.LZMAError, zstd.ZstdError, ValueError, OSError)
"""What damage of a packed file raises; an OSError with a number is one of the machine."""


def opener_of(content: IO[bytes]) -> Callable[[Any], Any] | None:
    """Give what opens a packed file as a file of what it holds, leaving the position at the start.

    None for a file that is not packed.
    """
    content.seek(0)
    head = content.read(max(map(len, _OPENERS)))
    content.seek(0)
    return next((opener for magic, opener in _OPENERS.items() if head.startswith(magic)), None)


def unpacked(content: IO[bytes], filename: str, limits: ImportLimits) -> IO[bytes]:
    """Give a file of what a packed one holds, or the file itself, both at position 0.

    Reading raises `InvalidImportError` where it is damaged, or unpacks to more than a file may.
    """
    opener = opener_of(content)
    return content if opener is None else _Unpacked(opener(content), filename, limits.unpacked_bytes)  # type: ignore[return-value]


def whole(content: IO[bytes], filename: str, limits: ImportLimits) -> IO[bytes]:
    """Give what `unpacked` gives with all that binary files have, such as lines."""
    return io.BufferedReader(_Raw(unpacked(content, filename, limits)), CHUNK_BYTES)


class _Unpacked:
    """What a packed file holds, for as much as it may."""

    def __init__(self, file: IO[bytes], filename: str, max_bytes: int) -> None:
        self._file = file
        self._filename = shown(filename)
        self._max_bytes = max_bytes
        self._damage: InvalidImportError | None = None

    def read(self, size: int = -1, /) -> bytes:
        """Give what there is before damage; asked for more, raise that."""
        pieces, left = [], sys.maxsize if size < 0 else size
        while left and (piece := self._piece(min(left, CHUNK_BYTES))):
            pieces.append(piece)
            left -= len(piece)
        if self._damage is not None and not pieces:
            raise self._damage
        self._refuse_too_much()
        return b"".join(pieces)

    def _piece(self, size: int) -> bytes:
        if self._damage is not None:
            return b""
        try:
            return self._file.read1(size)  # type: ignore[attr-defined, no-any-return]
        except EOFError:
            what = "cut off"
        except DAMAGE as error:
            if getattr(error, "errno", None) is not None:
                raise
            what = "damaged"
        self._damage = InvalidImportError(f"{self._filename} is {what} in its packed form.")
        return b""

    def _refuse_too_much(self) -> None:
        if self._file.tell() > self._max_bytes:
            raise InvalidImportError(
                f"{self._filename} unpacks to more than {self._max_bytes:,} bytes, the limit "
                "IBUTSU_TASKS_IMPORT_MAX_UNPACKED_BYTES."
            )

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        if whence == io.SEEK_END:
            while self.read(CHUNK_BYTES):
                pass
        self._damage = None
        return self._file.seek(offset if whence == io.SEEK_SET else self.tell() + offset)

    def tell(self) -> int:
        return self._file.tell()


class _Raw(io.RawIOBase):
    """A file that can be read, told and sought alone, as Python's own classes take one."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()
