"""Telling the format of an upload by its first bytes."""

from __future__ import annotations

import codecs
import re
from typing import IO

from ibutsu_tasks.errors import InvalidImportError
from ibutsu_tasks.importers.findings import shown

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
_UTF16 = (
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
    (b"<\0", "utf-16-le"),
    (b"\0<", "utf-16-be"),
)
_HTML = re.compile(
    r"(?:<\?xml[^>]*>|<!--.*?-->|\s)*<(?:!doctype\s+html|html|head|body)\b", re.IGNORECASE | re.DOTALL
)


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
    text = _text(head)
    if text.startswith("<"):
        if _HTML.match(text):
            raise InvalidImportError(f"{shown(filename)} is an HTML page; {_EXPECTED}.")
        return "junit"
    if not text and len(head) == _HEAD_BYTES and filename.lower().endswith(".xml"):
        return "junit"
    if not text:
        raise InvalidImportError(f"{shown(filename)} is empty; {_EXPECTED}.")
    raise InvalidImportError(f"{shown(filename)} looks like {_looks(head)}; {_EXPECTED}.")


def _text(head: bytes) -> str:
    for mark, encoding in _UTF16:
        if head.startswith(mark) and not head.startswith(codecs.BOM_UTF32_LE):
            return head.decode(encoding, "replace").lstrip("\ufeff \t\r\n")
    for mark in (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE):
        if head.startswith(mark):
            return head.decode("utf-32", "replace").strip()
    return head.removeprefix(codecs.BOM_UTF8).decode("latin-1").lstrip(" \t\r\n")


def _looks(head: bytes) -> str:
    stripped = head.removeprefix(codecs.BOM_UTF8).lstrip()
    for magic, name in _OTHER_FORMATS:
        if stripped.startswith(magic):
            return name
    if head[_TAR_MAGIC] == b"ustar":
        return "a tar file without gzip"
    return "binary data" if b"\0" in head else "plain text"
