"""The headers of a tar: what a block of 512 bytes says, the records of PAX, and where a link leads."""

from __future__ import annotations

import re
import tarfile
from typing import NamedTuple

# Of a header block.
_NAME = slice(100)
_SIZE = slice(124, 136)
_CHECKSUM = slice(148, 156)
_KIND = slice(156, 157)
_LINK = slice(157, 257)
_MAGIC = slice(257, 263)
_PREFIX = slice(345, 500)
_BINARY_SIZE = 0x80
# Says in the header of a sparse file, and in each block of its map, that another block of the map follows.
SPARSE_GOES_ON, SPARSE_MAP_GOES_ON = 482, 504
SPARSE_NAME = "GNU.sparse.name"
_RECORDS = frozenset({"path", "linkpath", "size", "comment"})

_PAX_RECORD = re.compile(rb"([0-9]{1,9}) ([^=]*)=")


class Header(NamedTuple):
    """What a header block says; `kind` is one of tarfile's type constants."""

    name: str
    size_bytes: int
    kind: bytes
    link: str


def pax_records(data: bytes) -> dict[str, str]:
    r"""Read the records `<length> <key>=<value>\n` that matter here; the rest may say what it likes."""
    records: dict[str, str] = {}
    position = 0
    while (match := _PAX_RECORD.match(data, position)) and (length := int(match[1])) > len(match[0]):
        value = data[match.end() : position + length - 1]
        records[match[2].decode("ascii", "replace")] = value.decode("utf-8", "surrogateescape")
        position += length
    return {key: value for key, value in records.items() if key in _RECORDS or is_of_sparse(key)}


def is_of_sparse(key: str) -> bool:
    """Tell a PAX record of a sparse file."""
    return key.startswith("GNU.sparse.")


def link_target(folder: tuple[str, ...], link: str) -> tuple[str, ...]:
    """Give the parts of the path that a link in a folder leads to; none when that is out of the archive."""
    parts = list(folder)
    for part in link.split("/"):
        if part == ".." and parts:
            parts.pop()
        elif part == "..":
            return ()
        elif part not in ("", "."):
            parts.append(part)
    return () if link.startswith("/") else tuple(parts)


def read_header(block: bytes) -> Header | None:
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
    return Header(name, size_bytes, kind, _text(block[_LINK]))


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("utf-8", "surrogateescape")


def _size(field: bytes) -> int:
    """Read a size: octal digits, or binary from 8 GiB on."""
    return int.from_bytes(field[1:], "big") if field[0] == _BINARY_SIZE else _octal(field)


def _octal(field: bytes) -> int:
    return int(field.partition(b"\0")[0].strip() or b"0", 8)
