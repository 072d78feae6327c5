"""Packed files are read as what they hold, in bounded memory."""

from __future__ import annotations

import io
import lzma
import random
from typing import TYPE_CHECKING, Any

import pytest

from ibutsu_tasks.errors import InvalidImportError
from ibutsu_tasks.ibutsu.importers import detect_format, packed
from ibutsu_tasks.ibutsu.importers.packed import opener_of

if TYPE_CHECKING:
    from collections.abc import Callable

REPORT = b"<testsuite><testcase name='t'/></testsuite>"
TEXT = random.Random(1).randbytes(200_000) * 3  # noqa: S311 - no secret
XZ = lzma.compress(TEXT)


def _unpacked(data: bytes, piece_bytes: int) -> bytes:
    content = io.BytesIO(data)
    opener = opener_of(content)
    assert opener is not None
    file, pieces = opener(content), []
    while piece := file.read1(piece_bytes):
        pieces.append(piece)
    file.seek(10)
    assert file.read1(1) == b"".join(pieces)[10:11]
    file.seek(0)
    return b"".join(pieces)


@pytest.mark.parametrize("piece_bytes", [7, 8 * 1024])
@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (XZ, TEXT),
        (XZ + XZ, TEXT * 2),
        (XZ + bytes(8) + XZ + bytes(4), TEXT * 2),
        (XZ + b"what follows", TEXT),
        (lzma.compress(b"") + XZ, TEXT),
    ],
    ids=["one stream", "two", "zeros between and behind", "others behind", "an empty one before"],
)
def test_all_streams_of_an_xz_file_are_read(
    data: bytes, expected: bytes, piece_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packed, "_XZ_PIECE_BYTES", piece_bytes)
    assert _unpacked(data, 100_000) == expected


def test_an_xz_file_that_is_cut_off_or_damaged_says_so() -> None:
    with pytest.raises(EOFError):
        _unpacked(XZ[:-50], 100_000)
    with pytest.raises(lzma.LZMAError):
        _unpacked(XZ[:200] + b"xyz" + XZ[203:], 100_000)


def test_an_xz_file_that_takes_much_memory_is_refused(
    read: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = lzma.compress(REPORT)
    assert len(read(data, "junit").results) == 1
    monkeypatch.setattr(packed, "XZ_MEMORY_BYTES", 1024**2)
    sentence = "The file takes more than 1,048,576 bytes of memory to unpack"
    for format_name in ("junit", detect_format(io.BytesIO(data), "r.xz")):
        with pytest.raises(InvalidImportError, match=sentence):
            read(data, format_name)
