"""Telling the format of an upload by its first bytes."""

from __future__ import annotations

import codecs
import re
from tarfile import BLOCKSIZE
from typing import IO, TYPE_CHECKING

from ibutsu_tasks.errors import InvalidImportError
from ibutsu_tasks.ibutsu.importers.archive.tar_headers import read_header
from ibutsu_tasks.ibutsu.importers.findings import shown
from ibutsu_tasks.ibutsu.importers.foreign import without_exit
from ibutsu_tasks.ibutsu.importers.formats import ARCHIVE, JUNIT, expected, formats
from ibutsu_tasks.ibutsu.importers.junit.xml_text import head_of, marked_encoding, report_begins
from ibutsu_tasks.ibutsu.importers.packed import opener_of, unpacked
from ibutsu_tasks.ibutsu.importers.parsed import ImportLimits
from ibutsu_tasks.packages import resolve

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ibutsu_tasks.packages import Importer

_TAR_MAGIC = slice(257, 262)
_OTHER_FORMATS = (
    (b"PK\x03\x04", "a zip file"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip file"),
    (b"%PDF", "a PDF"),
    (b"\x89PNG", "a picture"),
    (b"{", "JSON"),
    (b"[", "JSON"),
    (b"<", "XML"),
)
_HTML = re.compile(r"<(?:!doctype\s+html|html|head|body)\b", re.IGNORECASE)
_JUNIT_ROOT = re.compile(r"<(?:[\w.-]+:)?testsuites?[\s/>]")
_BEFORE_ROOT = (("<?", "?>"), ("<!--", "-->"))
"""How declarations and comments begin and end."""


def detect_format(content: IO[bytes], filename: str) -> str:
    """Tell the name of the format that fits the content, leaving the position at the start.

    A packed file is told by what it holds; white space before a report may have any length, other text up
    to 4 KiB. The name of the file decides nothing. What no importer recognizes is left to Ibutsu's own when
    it is XML, packed, or has a report behind other text. Raises `InvalidImportError` for what is neither,
    saying what it looks like, unless a package that was asked raised something: then that.
    """
    importers = formats()
    is_packed = opener_of(content) is not None
    head, encoding = _head(content, filename)
    text = _text_of(head, encoding)
    name, failure = _recognized(importers.values(), head) if text else (None, None)
    if name is not None:
        return name
    default = _by_default(head, text, is_packed)
    if default is not None and default in importers:
        return default
    if failure is not None:
        raise failure
    raise InvalidImportError(f"{shown(filename)} {_looks(head, text)}; {expected()}.")


def _recognized(importers: Iterable[Importer], head: bytes) -> tuple[str | None, Exception | None]:
    """Name the first format that is recognized; else, give what the first function raised that did."""
    failure = None
    for one in importers:
        try:
            with without_exit():
                if resolve(one.recognizes)(head):
                    return one.name, None
        except Exception as error:  # noqa: BLE001 - one package is no hindrance to the formats of others
            failure = failure or error
    return None, failure


def is_junit(head: bytes) -> bool:
    """Tell by the first bytes of a file whether its root element is that of a JUnit report."""
    return _JUNIT_ROOT.match(_from_root(_text_of(head, marked_encoding(head)))) is not None


def is_archive(head: bytes) -> bool:
    """Tell by the first bytes of a file, as it is unpacked, whether it is a tar."""
    return read_header(head[:BLOCKSIZE]) is not None


def _by_default(head: bytes, text: str, is_packed: bool) -> str | None:
    if text.startswith("<"):
        return None if _HTML.match(_from_root(text)) else JUNIT
    if report_begins(head) is not None:
        return JUNIT
    return ARCHIVE if is_packed else None


def _text_of(head: bytes, encoding: str | None) -> str:
    return head.decode(encoding or "latin-1", "replace").lstrip("\ufeff \t\r\n")


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


def _looks(head: bytes, text: str) -> str:
    if _HTML.match(_from_root(text)):
        return "is an HTML page"
    return f"looks like {_kind_of(head)}" if text else "is empty"


def _kind_of(head: bytes) -> str:
    stripped = head.removeprefix(codecs.BOM_UTF8).lstrip()
    for magic, name in _OTHER_FORMATS:
        if stripped.startswith(magic):
            return name
    if head[_TAR_MAGIC] == b"ustar":
        return "a damaged tar file"
    return "binary data" if b"\0" in head else "plain text"
