"""One header block of a tar: its name, size and kind.

`tarfile` reads all the other fields as well, which took a third of the time of a large archive.
"""

from __future__ import annotations

import tarfile
from typing import NamedTuple

_NAME, _SIZE, _CHECKSUM, _MAGIC, _PREFIX = (
    slice(100),
    slice(124, 136),
    slice(148, 156),
    slice(257, 263),
    slice(345, 500),
)
_KIND = slice(156, 157)
_BINARY_SIZE = 0x80


class TarHeader(NamedTuple):
    """What a header says; `kind` is one of tarfile's type constants."""

    name: str
    size_bytes: int
    kind: bytes


def read_header(block: bytes) -> TarHeader | None:
    """Read a block of 512 bytes; None when it is no header, by its length, checksum or size."""
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
    return TarHeader(name, size_bytes, kind)


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("utf-8", "surrogateescape")


def _size(field: bytes) -> int:
    """Read a size: octal digits, or binary from 8 GiB on."""
    return int.from_bytes(field[1:], "big") if field[0] == _BINARY_SIZE else _octal(field)


def _octal(field: bytes) -> int:
    return int(field.partition(b"\0")[0].strip() or b"0", 8)
