"""The members of a gzipped tar, read front to back, with every size bounded before it is read.

`tarfile` holds whatever a PAX header announces in memory and follows links; here a header is at most
64 KiB and whatever is neither file nor directory is refused. Nothing is ever written to a path.
"""

from __future__ import annotations

import re
import tarfile
from typing import IO, TYPE_CHECKING, NamedTuple

from ibutsu_tasks.errors import InvalidImportError
from ibutsu_tasks.importers.archive.unpacked import DAMAGE, Unpacked
from ibutsu_tasks.importers.findings import shown
from ibutsu_tasks.importers.parsed import CHUNK_BYTES, ImportLimits

if TYPE_CHECKING:
    from collections.abc import Iterator

_GZIP_MAGIC = b"\x1f\x8b"
_MAX_HEADER_BYTES = 64 * 1024
# GNU tar and PAX know three: of the path, of a link's target, and of anything else.
_MAX_HEADERS = 8
_PAX_LOCAL = (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE)
_LONG_NAMES = (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)
_FILES = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)
_LINKS = (tarfile.SYMTYPE, tarfile.LNKTYPE)

# Of a header block.
_NAME = slice(100)
_SIZE = slice(124, 136)
_CHECKSUM = slice(148, 156)
_KIND = slice(156, 157)
_MAGIC = slice(257, 263)
_PREFIX = slice(345, 500)
_BINARY_SIZE = 0x80

_PAX_RECORD = re.compile(rb"([0-9]{1,9}) ([^=]*)=")


class Member(NamedTuple):
    """A file of the archive, by the parts of its path, or a directory.

    `comment` is the record of that name in its PAX header.
    """

    parts: tuple[str, ...]
    size_bytes: int
    is_directory: bool
    comment: str | None = None

    @property
    def path(self) -> str:
        """The path as people write it."""
        return "/".join(self.parts)


class _Header(NamedTuple):
    """What a header block says; `kind` is one of tarfile's type constants."""

    name: str
    size_bytes: int
    kind: bytes


class TarStream:
    """One pass over a `.tar.gz`. Raises `InvalidImportError` for whatever is wrong with it.

    What lies right before damage is given, too.
    """

    def __init__(self, content: IO[bytes], filename: str, limits: ImportLimits) -> None:
        self._content = content
        self._filename = shown(filename)
        self._limits = limits
        self._left_bytes = 0
        self._padding_bytes = 0
        self._stream: Unpacked

    def members(self) -> Iterator[Member]:
        """Yield the members; the data of each can be read until the next is asked for."""
        self._content.seek(0)
        if self._content.read(len(_GZIP_MAGIC)) != _GZIP_MAGIC:
            raise self._refusal("it is not a gzip file")
        self._stream = Unpacked(self._content)
        count = 0
        while (member := self._next_member()) is not None:
            count += 1
            if count > self._limits.members:
                raise self._over_limit(f"{self._limits.members:,} members")
            yield member
            self._skip(self._left_bytes + self._padding_bytes)
        # At the end, gzip keeps the checksum of what was read.
        while self._read_some(CHUNK_BYTES):
            pass

    def data(self) -> bytes:
        """Read all of the current member."""
        return b"".join(self.chunks())

    def chunks(self) -> Iterator[bytes]:
        """Read the current member in pieces of at most `CHUNK_BYTES`."""
        while self._left_bytes:
            data = self._read(min(self._left_bytes, CHUNK_BYTES))
            self._left_bytes -= len(data)
            yield data

    def _next_member(self) -> Member | None:
        overrides: dict[str, str] = {}
        headers = 0
        while (header := self._next_header()) is not None:
            headers += 1
            if headers > _MAX_HEADERS:
                raise self._refusal(
                    f"more than {_MAX_HEADERS} headers belong to one file, at byte {self._stream.position:,} "
                    "of its unpacked form"
                )
            if header.kind in _LONG_NAMES:
                name = self._header_data(header).split(b"\0", 1)[0].decode("utf-8", "surrogateescape")
                if header.kind == tarfile.GNUTYPE_LONGNAME:
                    overrides["path"] = name
            elif header.kind in _PAX_LOCAL:
                overrides |= _pax_records(self._header_data(header))
            elif header.kind == tarfile.XGLTYPE:
                self._header_data(header)
            else:
                return self._member(header, overrides)
        return None

    def _member(self, header: _Header, overrides: dict[str, str]) -> Member:
        name = overrides.get("path", header.name)
        size_text = overrides.get("size", str(header.size_bytes))
        if header.kind in _LINKS:
            raise self._refusal(f"{shown(name)} is a link; an archive of results holds plain files only")
        is_directory = header.kind == tarfile.DIRTYPE
        if not is_directory and header.kind not in _FILES:
            raise self._refusal(f"{shown(name)} is a device or another special file")
        if not (size_text.isascii() and size_text.isdigit()):
            raise self._refusal(f"{shown(name)} has the size {shown(size_text)}")
        size = 0 if is_directory else int(size_text[:20])
        self._check_limit(size)
        self._left_bytes = size
        self._padding_bytes = -size % tarfile.BLOCKSIZE
        return Member(self._parts(name), size, is_directory, overrides.get("comment"))

    def _parts(self, name: str) -> tuple[str, ...]:
        parts = tuple(part for part in name.split("/") if part not in ("", "."))
        if name.startswith("/"):
            raise self._refusal(f"{shown(name)} is an absolute path")
        if ".." in parts:
            raise self._refusal(f"{shown(name)} leads out of the archive")
        return parts

    def _next_header(self) -> _Header | None:
        position = self._stream.position
        block = self._read_some(tarfile.BLOCKSIZE)
        header = _read_header(block)
        if header is not None:
            return header
        if not block.strip(b"\0") and len(block) in {0, tarfile.BLOCKSIZE} and position:
            return None
        if position == 0:
            raise self._refusal("it is gzip, but there is no tar archive inside")
        raise self._damage("damaged or cut off", position)

    def _header_data(self, header: _Header) -> bytes:
        if not header.size_bytes <= _MAX_HEADER_BYTES:
            raise self._refusal(f"a header of {header.size_bytes:,} bytes; {_MAX_HEADER_BYTES:,} are allowed")
        data = self._read(header.size_bytes)
        self._skip(-header.size_bytes % tarfile.BLOCKSIZE)
        return data

    def _skip(self, size_bytes: int) -> None:
        while size_bytes:
            size_bytes -= len(self._read(min(size_bytes, CHUNK_BYTES)))

    def _read(self, size_bytes: int) -> bytes:
        data = self._read_some(size_bytes)
        if len(data) < size_bytes:
            raise self._damage("cut off", self._stream.position)
        return data

    def _read_some(self, size_bytes: int) -> bytes:
        try:
            data = self._stream.read(size_bytes)
        except EOFError:
            raise self._damage("cut off", self._stream.position) from None
        except DAMAGE:
            raise self._damage("damaged", self._stream.position) from None
        self._check_limit(0)
        return data

    def _check_limit(self, more_bytes: int) -> None:
        if self._stream.position + more_bytes > self._limits.unpacked_bytes:
            raise self._over_limit(
                f"{self._limits.unpacked_bytes:,} bytes, the limit IBUTSU_TASKS_IMPORT_MAX_UNPACKED_BYTES",
                "Split the archive, or ask the operator to raise the limit.",
            )

    def _over_limit(self, limit: str, hint: str = "Split the archive.") -> InvalidImportError:
        return InvalidImportError(f"{self._filename} unpacks to more than {limit}.", hint)

    def _damage(self, what: str, position: int) -> InvalidImportError:
        return self._refusal(f"the archive is {what} at byte {position:,} of its unpacked form")

    def _refusal(self, sentence: str) -> InvalidImportError:
        return InvalidImportError(f"{self._filename}: {sentence}.")


def _pax_records(data: bytes) -> dict[str, str]:
    r"""Read the records `<length> <key>=<value>\n` that matter here; the rest may say what it likes."""
    records: dict[str, str] = {}
    position = 0
    while (match := _PAX_RECORD.match(data, position)) and (length := int(match[1])) > len(match[0]):
        value = data[match.end() : position + length - 1]
        records[match[2].decode("ascii", "replace")] = value.decode("utf-8", "surrogateescape")
        position += length
    return {key: value for key, value in records.items() if key in {"path", "size", "comment"}}


def _read_header(block: bytes) -> _Header | None:
    """Read a block of 512 bytes; None when it is no header, by its length, checksum or size.

    `tarfile` reads all the other fields as well, which took a third of the time of a large archive.
    """
    if len(block) != tarfile.BLOCKSIZE:
        return None
    checksum = block[_CHECKSUM]
    try:
        stated, size_bytes = _octal(checksum), _size(block[_SIZE])
    except ValueError:
        return None
    # The checksum counts itself as eight spaces.
    if stated != sum(block) - sum(checksum) + sum(b" " * 8) or size_bytes < 0:
        return None
    name, kind = _text(block[_NAME]), block[_KIND]
    if kind == tarfile.AREGTYPE and name.endswith("/"):
        kind = tarfile.DIRTYPE
    # GNU tar keeps other things where POSIX has the prefix.
    if block[_MAGIC] == tarfile.POSIX_MAGIC[:6] and (prefix := _text(block[_PREFIX])):
        name = f"{prefix}/{name}"
    return _Header(name, size_bytes, kind)


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("utf-8", "surrogateescape")


def _size(field: bytes) -> int:
    """Read a size: octal digits, or binary from 8 GiB on."""
    return int.from_bytes(field[1:], "big") if field[0] == _BINARY_SIZE else _octal(field)


def _octal(field: bytes) -> int:
    return int(field.partition(b"\0")[0].strip() or b"0", 8)
