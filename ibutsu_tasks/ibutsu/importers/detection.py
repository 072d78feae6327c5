"""Telling the format of an upload by its first bytes."""

from __future__ import annotations

import codecs
import re
from tarfile import BLOCKSIZE
from typing import IO

from ibutsu_tasks.errors import InvalidImportError
from ibutsu_tasks.ibutsu.importers.archive.tar_headers import read_header
from ibutsu_tasks.ibutsu.importers.findings import shown
from ibutsu_tasks.ibutsu.importers.junit.xml_text import head_of, report_begins
from ibutsu_tasks.ibutsu.importers.packed import opener_of, unpacked
from ibutsu_tasks.ibutsu.importers.parsed import ImportLimits

_TAR_MAGIC = slice(257, 262)
_EXPECTED = "expected JUnit XML or an archive written by pytest-ibutsu"
_OTHER_FORMATS = (
    (b"PK\x03\x04", "a zip file"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip file"),
    (b"%PDF", "a PDF"),
    (b"\x89PNG", "a picture"),
    (b"{", "JSON"),
    (b"[", "JSON"),
)
_HTML = re.compile(r"<(?:!doctype\s+html|html|head|body)\b", re.IGNORECASE)
_BEFORE_ROOT = (("<?", "?>"), ("<!--", "-->"))
"""How declarations and comments begin and end."""


def detect_format(content: IO[bytes], filename: str) -> str:
    """Tell the key in `IMPORTERS` that fits the content, leaving the position at the start.

    A packed file is told by what it holds; white space before a report may have any length, other text up
    to 4 KiB. The name decides nothing. Raises `InvalidImportError` for what is neither, saying what it
    looks like.
    """
    is_packed = opener_of(content) is not None
    head, encoding = _head(content, filename)
    text = head.decode(encoding or "latin-1", "replace").lstrip("\ufeff \t\r\n")
    if text.startswith("<"):
        if _HTML.match(_from_root(text)):
            raise InvalidImportError(f"{shown(filename)} is an HTML page; {_EXPECTED}.")
        return "junit"
    if is_packed or read_header(head[:BLOCKSIZE]) is not None:
        return "archive"
    if report_begins(head) is not None:
        return "junit"
    if not text:
        raise InvalidImportError(f"{shown(filename)} is empty; {_EXPECTED}.")
    raise InvalidImportError(f"{shown(filename)} looks like {_looks(head)}; {_EXPECTED}.")


def _from_root(text: str) -> str:
    """Give a document without what stands before its document type or its root element."""
    while closing := next((closing for opening, closing in _BEFORE_ROOT if text.startswith(opening)), None):
        text = text.partition(closing)[2].lstrip()
    return text


def _head(content: IO[bytes], filename: str) -> tuple[bytes, str | None]:
    try:
        return head_of(unpacked(content, filename, ImportLimits()))
    except InvalidImportError:
        # Whoever reads on says where it is damaged.
        return b"", None
    finally:
        content.seek(0)


def _looks(head: bytes) -> str:
    stripped = head.removeprefix(codecs.BOM_UTF8).lstrip()
    for magic, name in _OTHER_FORMATS:
        if stripped.startswith(magic):
            return name
    if head[_TAR_MAGIC] == b"ustar":
        return "a damaged tar file"
    return "binary data" if b"\0" in head else "plain text"
