"""Telling the format of an upload by its first bytes."""

from __future__ import annotations

import codecs
import re
from typing import IO

from ibutsu_tasks.errors import InvalidImportError
from ibutsu_tasks.importers.findings import shown
from ibutsu_tasks.importers.junit.xml_text import marked_encoding

_HEAD_BYTES = 4096
_TAR_MAGIC = slice(257, 262)
_EXPECTED = "expected JUnit XML or a .tar.gz written by pytest-ibutsu"
_OTHER_FORMATS = (
    (b"PK\x03\x04", "a zip file"),
    (b"BZh", "a bzip2 file"),
    (b"\xfd7zXZ\0", "an xz file"),
    (b"\x28\xb5\x2f\xfd", "a zstd file"),
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

    The name decides nothing but the doubt of a file that begins with a screenful of white space.
    Raises `InvalidImportError` for what is neither, saying what it looks like.
    """
    content.seek(0)
    head = content.read(_HEAD_BYTES)
    content.seek(0)
    if head.startswith(b"\x1f\x8b"):
        return "archive"
    text = head.decode(marked_encoding(head) or "latin-1", "replace").lstrip("\ufeff \t\r\n")
    if text.startswith("<"):
        if _HTML.match(_from_root(text)):
            raise InvalidImportError(f"{shown(filename)} is an HTML page; {_EXPECTED}.")
        return "junit"
    if not text and len(head) == _HEAD_BYTES and filename.lower().endswith(".xml"):
        return "junit"
    if not text:
        raise InvalidImportError(f"{shown(filename)} is empty; {_EXPECTED}.")
    raise InvalidImportError(f"{shown(filename)} looks like {_looks(head)}; {_EXPECTED}.")


def _from_root(text: str) -> str:
    """Give a document without what stands before its document type or its root element."""
    while closing := next((closing for opening, closing in _BEFORE_ROOT if text.startswith(opening)), None):
        text = text.partition(closing)[2].lstrip()
    return text


def _looks(head: bytes) -> str:
    stripped = head.removeprefix(codecs.BOM_UTF8).lstrip()
    for magic, name in _OTHER_FORMATS:
        if stripped.startswith(magic):
            return name
    if head[_TAR_MAGIC] == b"ustar":
        return "a tar file without gzip"
    return "binary data" if b"\0" in head else "plain text"
