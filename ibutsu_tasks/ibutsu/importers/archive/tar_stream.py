"""The members of a tar, packed or not, read front to back, with every size bounded before it is read.

`tarfile` holds whatever a PAX header announces in memory and follows links; here a header is at most
64 KiB, a link only says where it leads, and devices and the like are refused. Nothing is ever written to a
path.
"""

from __future__ import annotations

import tarfile
from typing import IO, TYPE_CHECKING, NamedTuple

from ibutsu_tasks.errors import InvalidImportError
from ibutsu_tasks.ibutsu.importers.archive.tar_headers import (
    SPARSE_GOES_ON,
    SPARSE_MAP_GOES_ON,
    SPARSE_NAME,
    Header,
    is_of_sparse,
    link_target,
    pax_records,
    read_header,
)
from ibutsu_tasks.ibutsu.importers.archive.unpacked import Unpacked
from ibutsu_tasks.ibutsu.importers.findings import shown
from ibutsu_tasks.ibutsu.importers.packed import DAMAGE
from ibutsu_tasks.ibutsu.importers.parsed import CHUNK_BYTES, ImportLimits

if TYPE_CHECKING:
    from collections.abc import Iterator

_MAX_HEADER_BYTES = 64 * 1024
# GNU tar and PAX know three: of the path, of a link's target, and of anything else.
_MAX_HEADERS = 8
_PAX_LOCAL = (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE)
_LONG_NAMES = (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)
_FILES = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)
_LINKS = (tarfile.SYMTYPE, tarfile.LNKTYPE)
_BLANK = b"\0 \t\r\n"


class Member(NamedTuple):
    """A file of the archive, by the parts of its path, or a directory.

    `comment` is the record of that name in its PAX header.
    """

    parts: tuple[str, ...]
    size_bytes: int
    is_directory: bool
    comment: str | None = None
    link: tuple[str, ...] | None = None
    """Of a link, the parts of the path it leads to; empty where that is not in the archive."""
    is_sparse: bool = False
    """Whether its bytes are not stored one behind the other, so that they are not read."""

    @property
    def is_plain_file(self) -> bool:
        """Whether its bytes are in the archive as they are."""
        return not self.is_directory and not self.is_sparse and self.link is None

    @property
    def path(self) -> str:
        """The path as people write it."""
        return "/".join(self.parts)


class TarStream:
    """One pass over an archive. Raises `InvalidImportError` for whatever is wrong with it.

    What lies right before damage is given, too.
    """

    def __init__(self, content: IO[bytes], filename: str, limits: ImportLimits) -> None:
        self._content = content
        self._filename = shown(filename)
        self._limits = limits
        self._left_bytes = 0
        self._padding_bytes = 0
        self._stream: Unpacked

    @property
    def position(self) -> int:
        """How many unpacked bytes were read."""
        return self._stream.position

    def members(self) -> Iterator[Member]:
        """Yield the members; the data of each can be read until the next is asked for."""
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
                overrides["path" if header.kind == tarfile.GNUTYPE_LONGNAME else "linkpath"] = name
            elif header.kind in _PAX_LOCAL:
                overrides |= pax_records(self._header_data(header))
            elif header.kind == tarfile.XGLTYPE:
                self._header_data(header)
            else:
                return self._member(header, overrides)
        return None

    def _member(self, header: Header, overrides: dict[str, str]) -> Member:
        is_sparse = header.kind == tarfile.GNUTYPE_SPARSE or any(map(is_of_sparse, overrides))
        name = overrides.get(SPARSE_NAME) or overrides.get("path", header.name)
        size_text = overrides.get("size", str(header.size_bytes))
        is_directory = header.kind == tarfile.DIRTYPE
        if not is_directory and not is_sparse and header.kind not in (*_FILES, *_LINKS):
            raise self._refusal(f"{shown(name)} is a device or another special file")
        if not (size_text.isascii() and size_text.isdigit()):
            raise self._refusal(f"{shown(name)} has the size {shown(size_text)}")
        size = 0 if is_directory or header.kind in _LINKS else int(size_text[:20])
        self._check_limit(size)
        self._left_bytes = size
        self._padding_bytes = -size % tarfile.BLOCKSIZE
        parts = self._parts(name)
        link = None
        if header.kind in _LINKS:
            folder = parts[:-1] if header.kind == tarfile.SYMTYPE else ()
            link = link_target(folder, overrides.get("linkpath", header.link))
        return Member(parts, size, is_directory, overrides.get("comment"), link, is_sparse)

    def _parts(self, name: str) -> tuple[str, ...]:
        if "/" not in name.rstrip("/"):
            # Some tools on Windows write paths as they are there.
            name = name.replace("\\", "/")
        parts = tuple(part for part in name.split("/") if part not in ("", "."))
        if name.startswith("/"):
            raise self._refusal(f"{shown(name)} is an absolute path")
        if ".." in parts:
            raise self._refusal(f"{shown(name)} leads out of the archive")
        return parts

    def _next_header(self) -> Header | None:
        position = self._stream.position
        block = self._read_some(tarfile.BLOCKSIZE)
        header = read_header(block)
        if header is not None:
            if header.kind == tarfile.GNUTYPE_SPARSE:
                self._skip_sparse_map(block)
            return header
        if not block.strip(b"\0") and len(block) in {0, tarfile.BLOCKSIZE} and position:
            return None
        if position == 0 and not block.strip(_BLANK):
            raise InvalidImportError(f"{self._filename} is empty when it is unpacked.")
        if position == 0:
            raise self._refusal("there is no tar archive inside")
        raise self._damage("damaged or cut off", position)

    def _skip_sparse_map(self, block: bytes) -> None:
        goes_on = block[SPARSE_GOES_ON]
        while goes_on:
            goes_on = self._read(tarfile.BLOCKSIZE)[SPARSE_MAP_GOES_ON]

    def _header_data(self, header: Header) -> bytes:
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
        except DAMAGE as error:
            if getattr(error, "errno", None) is not None:
                raise
            raise self._damage("damaged", self._stream.position) from None
        self._check_limit(0)
        return data

    def _check_limit(self, more_bytes: int) -> None:
        if self._stream.position + more_bytes > self._limits.unpacked_bytes:
            raise self.over_limit()

    def over_limit(self) -> InvalidImportError:
        """Make the error of an archive that unpacks to too much."""
        return self._over_limit(
            f"{self._limits.unpacked_bytes:,} bytes, the limit IBUTSU_TASKS_IMPORT_MAX_UNPACKED_BYTES",
            "Split the archive, or ask the operator to raise the limit.",
        )

    def _over_limit(self, limit: str, hint: str = "Split the archive.") -> InvalidImportError:
        return InvalidImportError(f"{self._filename} unpacks to more than {limit}.", hint)

    def _damage(self, what: str, position: int) -> InvalidImportError:
        if not position:
            # Nothing tells whether an archive or a report was packed.
            return InvalidImportError(
                f"{self._filename} is {what} in its packed form, before anything of it could be unpacked."
            )
        return self._refusal(f"the archive is {what} at byte {position:,} of its unpacked form")

    def _refusal(self, sentence: str) -> InvalidImportError:
        return InvalidImportError(f"{self._filename}: {sentence}.")
