"""The bytes of an XML file turned into clean UTF-8 that expat can always read.

Report writers declare one encoding and write another, and copy terminal output with its control
characters into the file, raw or as references. XML allows none of that, people still want their results.
"""

from __future__ import annotations

import codecs
import re
from contextlib import suppress
from typing import IO, TYPE_CHECKING

from ibutsu_tasks.errors import InvalidImportError
from ibutsu_tasks.ibutsu.importers.findings import Findings, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

PIECE_BYTES = 64 * 1024
HEAD_BYTES = 4096
"""How far behind white space a report may begin, after text that is no XML."""

_BYTE_ORDER_MARKS = (  # UTF-32's begins with UTF-16's, so it is asked first
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    *((bytes([first, 0]), "utf-16-le") for first in b"< \t\r\n"),
    *((bytes([0, first]), "utf-16-be") for first in b"< \t\r\n"),
)
_DECLARATION = re.compile(rb"""\s*<\?xml\s[^>]*?encoding\s*=\s*["']([A-Za-z0-9._:-]+)["']""")
# Python knows these as text encodings, but nobody writes documents in them.
_NO_DOCUMENT_CODECS = frozenset({"idna", "punycode", "raw-unicode-escape", "undefined", "unicode-escape"})
# A declaration that could be read byte by byte is not in UTF-16, whatever it says; ASCII is UTF-8 as well.
_MEANS_UTF8 = ("utf-16", "utf-32", "utf-7", "ascii")

# Where a report begins behind what a tool printed into the same file.
_REPORT_BEGINS = re.compile(r"^[ \t]*(?:<\?xml\s|<testsuites?[\s>])|\A<", re.MULTILINE)

_CONTROL_BYTES = bytes({*range(0x20)} - {0x09, 0x0A, 0x0D})
_CONTROL = r"\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff"
_UTF8_SURROGATE = r"\udced[\udca0-\udcbf][\udc80-\udcbf]"
_REFERENCE = r"&#(?!(?:9|10|13|x[9AaDd]);)(?:[0-9]{1,32}|x[0-9A-Fa-f]{1,32});"
_CDATA_START, _CDATA_END = "<![CDATA[", "]]>"
_MARKUP = rf"{_REFERENCE}|<!\[CDATA\[|\]\]>"
# In runs, because a file in another encoding than it declares holds little else.
_UNCLEAN = re.compile(
    rf"(?P<unfit>[{_CONTROL}]+)|{_UTF8_SURROGATE}|(?P<bytes>(?:(?!{_UTF8_SURROGATE})[\udc80-\udcff])+)|{_MARKUP}"
)
_UNCLEAN_WIDE = re.compile(rf"(?P<unfit>[{_CONTROL}\ud800-\udfff]+)|{_MARKUP}")
"""The same in UTF-16 and UTF-32, where a surrogate is no byte that did not fit."""
# What may be the beginning of something that only the next piece completes.
_UNFINISHED = re.compile(
    r"(?:&(?:#[0-9A-Fa-fx]{0,33})?|<(?:!(?:\[[CDAT]{0,5})?)?|\]\]?|\udced[\udca0-\udcbf]?)\Z"
)
_UNFINISHED_CHARACTERS = 40
# What XML 1.0 allows, by its production `Char`.
_CHARACTERS = ((0x09, 0x0A, 0x0D), range(0x20, 0xD800), range(0xE000, 0xFFFE), range(0x10000, 0x110000))
# pytest shows a character in two hexadecimal digits, or in four when two are too few.
_TWO_DIGITS_BELOW = 0x100


def _shown_as(code: int) -> str:
    return f"#x{code:0{2 if code < _TWO_DIGITS_BELOW else 4}X}"


_SHOWN = {code: _shown_as(code) for code in (*range(0x20), *range(0xD800, 0xE000), 0xFFFE, 0xFFFF)}
_AS_WINDOWS_1252 = {
    0xDC00 + byte: bytes([byte]).decode("cp1252", "ignore") or chr(byte) for byte in range(0x80, 0x100)
}


class XmlText:
    """An XML file as pieces of UTF-8 without anything expat refuses for its characters alone.

    What XML cannot hold is shown the way pytest shows it, `#x1B`, and bytes that do not fit the encoding
    are read as Windows-1252; both leave one warning. Line numbers stay those of the file, except for
    `skipped_lines` empty ones at its beginning.
    """

    def __init__(self, content: IO[bytes], filename: str, findings: Findings) -> None:
        self._content = content
        self._filename = filename
        self._findings = findings
        self._line = 1
        self._in_cdata = False
        self._at_start = True
        self.skipped_lines = 0

    def pieces(self) -> Iterator[bytes]:
        """Read the file from its current position to its end.

        Raises `InvalidImportError` where the bytes cannot be read as characters at all.
        """
        encoding = self._encoding()
        # surrogatepass for UTF-16: there an undecodable unit is a lone surrogate already.
        is_wide = encoding.startswith(("utf-16", "utf-32"))
        self._unclean = _UNCLEAN_WIDE if is_wide else _UNCLEAN
        decoder = codecs.getincrementaldecoder(encoding)("surrogatepass" if is_wide else "surrogateescape")
        held = ""
        while True:
            raw = self._content.read(PIECE_BYTES)
            text = held + self._decoded(decoder, raw)
            if self._at_start:
                text = self._without_leading_space(text)
            end = _UNFINISHED.search(text, max(0, len(text) - _UNFINISHED_CHARACTERS)) if raw else None
            held = end[0] if end else ""
            if text := text[: len(text) - len(held)]:
                yield self._clean(text)
            if not raw:
                return

    def _encoding(self) -> str:
        start = self._content.tell()
        head, encoding = head_of(self._content)
        self._content.seek(start)
        if encoding:
            return encoding
        declaration = _DECLARATION.match(head, report_begins(head) or 0)
        return "utf-8" if declaration is None else self._declared(declaration[1].decode("ascii"))

    def _declared(self, name: str) -> str:
        try:
            codec = codecs.lookup(name).name.replace("_", "-")
            if codec.startswith(_MEANS_UTF8):
                return "utf-8"
            b"<".decode(codec)
        except (LookupError, UnicodeError):
            codec = "undefined"
        if codec in _NO_DOCUMENT_CODECS:
            self._findings.note(
                "encoding", f"line 1 declares the encoding {shown(name)}, which is unknown; UTF-8 was assumed"
            )
            return "utf-8"
        return codec

    def _decoded(self, decoder: codecs.IncrementalDecoder, raw: bytes) -> str:
        try:
            return decoder.decode(raw, final=not raw)
        except UnicodeDecodeError as error:
            message = (
                f"{shown(self._filename)} cannot be read as {error.encoding} near line {self._line}: "
                f"{error.reason}."
            )
            raise InvalidImportError(message) from None

    def _without_leading_space(self, text: str) -> str:
        stripped = text.lstrip("\ufeff \t\r\n")
        if stripped and (begin := _REPORT_BEGINS.search(stripped)) and begin.start():
            self._findings.note(
                "text before", "line 1 begins text that is no XML; left out, up to the report"
            )
            stripped = stripped[begin.start() :]
        self.skipped_lines += text.count("\n", 0, len(text) - len(stripped))
        self._at_start = not stripped
        return stripped

    def _clean(self, text: str) -> bytes:
        data = _as_it_is(text)
        if data is None:
            data = self._unclean.sub(self._replacement, text).encode()
        else:
            start, end = text.rfind(_CDATA_START), text.rfind(_CDATA_END)
            self._in_cdata = start > end or (self._in_cdata and start == end)
        self._line += text.count("\n")
        return data

    def _replacement(self, match: re.Match[str]) -> str:
        text = match[0]
        if text in (_CDATA_START, _CDATA_END):
            self._in_cdata = text == _CDATA_START
            return text
        if self._in_cdata and text.startswith("&"):
            return text
        if match.lastgroup == "bytes":
            what = "a byte that does not fit the encoding; such were read as Windows-1252"
            self._note(match, "bytes", what, len(text))
            return text.translate(_AS_WINDOWS_1252)
        is_run = match.lastgroup == "unfit"
        code = ord(text[0]) if is_run else _code_point(text)
        if any(code in allowed for allowed in _CHARACTERS):
            return text
        shown_as = _shown_as(code)
        what = f"a character that XML does not allow; such are shown as {shown_as}"
        self._note(match, "control", what, len(text) if is_run else 1)
        return text.translate(_SHOWN) if is_run else shown_as

    def _note(self, match: re.Match[str], kind: str, what: str, times: int) -> None:
        line = 0
        if not self._findings.knows(kind):
            line = self.skipped_lines + self._line + match.string.count("\n", 0, match.start())
        self._findings.note(kind, f"line {line} holds {what}", times)


def marked_encoding(head: bytes) -> str | None:
    """Tell the encoding that the first bytes of a text give away by a mark, or by the zeros of UTF-16."""
    return next((encoding for mark, encoding in _BYTE_ORDER_MARKS if head.startswith(mark)), None)


def head_of(content: IO[bytes]) -> tuple[bytes, str | None]:
    """Read the first bytes of a text that are not all white space; tell, too, what `marked_encoding` does.

    They are `HEAD_BYTES` from the first other character on, or more.
    """
    head = _read_head(content)
    encoding = marked_encoding(head)
    while head and not head.decode(encoding or "latin-1", "replace").strip("\ufeff \t\r\n"):
        head = _read_head(content)
    return head + _read_head(content), encoding


def _read_head(content: IO[bytes]) -> bytes:
    head = b""
    # Damage is met again by whoever reads on.
    with suppress(InvalidImportError):
        while len(head) < HEAD_BYTES and (piece := content.read(HEAD_BYTES - len(head))):
            head += piece
    return head


def report_begins(head: bytes) -> int | None:
    """Tell where in the first bytes of a file a report begins, at the start of a line; None if not at all."""
    begin = _REPORT_BEGINS.search(head.decode("latin-1"))
    return begin and begin.start()


def _as_it_is(text: str) -> bytes | None:
    """Encode text that needs no mending; None for the other. Whole-piece C calls: most files pass here."""
    try:
        data = text.encode()
    except UnicodeEncodeError:
        return None
    if "&#" in text or "\ufffe" in text or "\uffff" in text:
        return None
    return data if len(data.translate(None, _CONTROL_BYTES)) == len(data) else None


def _code_point(text: str) -> int:
    if text.startswith("&#x"):
        return int(text[3:-1], 16)
    if text.startswith("&#"):
        return int(text[2:-1])
    # A surrogate that was encoded in three bytes of UTF-8.
    low, high = ord(text[2]) & 0x3F, ord(text[1]) & 0x3F
    return 0xD000 | high << 6 | low
