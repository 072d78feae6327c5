"""Files that are no reports, hostile files, and files whose characters are not what they say."""

from __future__ import annotations

import io
import tracemalloc
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from ibutsu_tasks.errors import InvalidImportError
from ibutsu_tasks.ibutsu.importers import reader_of
from ibutsu_tasks.ibutsu.importers.parsed import ImportLimits, SpooledContent, Upload

if TYPE_CHECKING:
    from collections.abc import Callable

BOMB = (
    '<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY a "lol"><!ENTITY b "&a;&a;&a;&a;">]>'
    "<testsuite><testcase name='&b;'/></testsuite>"
)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "line 1: the file ends too early"),
        (b"<testsuite>\n<testcase name='t'>", "line 2: the file ends too early"),
        (b"<testsuite><testcase", "ends too early"),
        (b"<testsuite><system-out><![CDATA[x", "ends too early"),
        (b"<testsuite>\n\n</testcase>", "line 3: a tag is closed that is not the open one"),
        (b"<testsuite/>\n<testsuite/>", "line 2: something follows the end"),
        (b"<testsuite/>\nBuild failed", "line 2: something follows the end"),
        (b"<testsuite/>\n[INFO] Build failed", "line 2: something follows the end"),
        (b"<testsuite/>" + b"\0" * 9, "something follows the end"),
        (b"<testsuite/><!-- cut", "ends too early"),
        (b"<html></html>", "root element is <html>"),
        (b"<test-run/>", "root element is <test-run>"),
        (b"<testsuite>&nbsp;</testsuite>", "an entity is used"),
        (b"<testsuite a=1/>", "not well-formed XML"),
        (b"plain text", "not well-formed XML"),
        (b"<!DOCTYPE html><html/>", "HTML page"),
        (b"<testsuite>" + b"<testcase>" * 100, "elements are nested deeper than 96"),
        (b"<testsuite>" + b"<testcase><testsuite>" * 60, "elements are nested deeper than 96"),
        (b"<testsuite>" * 65, "suites are nested deeper than 64"),
        (b"<testsuite>" + b"<x>" * 100, "elements are nested deeper than 96"),
        (BOMB.encode(), "declares entities"),
        (
            b'<!DOCTYPE t [<!ENTITY x SYSTEM "file:///etc/passwd">]><testsuite>&x;</testsuite>',
            "declares entities",
        ),
        (b'<!DOCTYPE t [<!ENTITY % x SYSTEM "http://127.0.0.1:9/"> %x;]><testsuite/>', "declares entities"),
        (b'<!DOCTYPE t [<!ATTLIST testcase name CDATA "x">]><testsuite/>', "attribute defaults"),
    ],
)
def test_refused_with_file_and_line(read: Callable[..., Any], data: bytes, words: str) -> None:
    with pytest.raises(InvalidImportError, match=words) as refusal:
        read(data, filename="report.xml")
    assert str(refusal.value).startswith("report.xml, line ")
    assert refusal.value.hint


def test_a_late_defect_is_raised_from_rows(read: Callable[..., Any]) -> None:
    data = b"<testsuite>\n" + b"<testcase name='t'/>\n" * 20_000
    with pytest.raises(InvalidImportError, match="line 20002: the file ends too early"):
        read(data)


def test_a_plain_doctype_does_no_harm(read: Callable[..., Any]) -> None:
    assert len(read(b"<!DOCTYPE testsuite><testsuite><testcase name='t'/></testsuite>").results) == 1


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("declared", ["", ' encoding="utf-8"', ' encoding="UTF-16"'])
def test_unicode_in_any_dress(read: Callable[..., Any], encoding: str, declared: str) -> None:
    text = f'<?xml version="1.0"{declared}?><testsuite><testcase name="žluťoučký 🐎"/></testsuite>'
    got = read(text.encode(encoding))
    assert [result.test_id for result in got.results] == ["žluťoučký 🐎"]
    assert got.run.warnings == []


@pytest.mark.parametrize(
    "encoding", ["iso-8859-1", "latin-1", "windows-1252", "iso-8859-2", "gb18030", "shift_jis"]
)
def test_declared_encodings(read: Callable[..., Any], encoding: str) -> None:
    name = "テスト" if encoding in {"gb18030", "shift_jis"} else "Größe"
    text = f'<?xml version="1.0" encoding="{encoding}"?><testsuite><testcase name="{name}"/></testsuite>'
    assert read(text.encode(encoding)).results[0].test_id == name


def test_bytes_that_do_not_fit_are_windows_1252(read: Callable[..., Any]) -> None:
    got = read(
        b"<testsuite>\n<testcase name='Gr\xf6\xdfe \x80 \x81'/><testcase name='\xc3\xb6'/></testsuite>"
    )
    assert [result.test_id for result in got.results] == ["Größe € \x81", "ö"]
    (warning,) = got.run.warnings
    assert warning == (
        "line 2 holds a byte that does not fit the encoding; such were read as Windows-1252 (4 in all)."
    )


@pytest.mark.parametrize("declared", ["klingon", "base64", "rot13", "idna", "unicode_escape", "undefined"])
def test_unknown_encodings_are_taken_for_utf_8(read: Callable[..., Any], declared: str) -> None:
    text = f'<?xml version="1.0" encoding="{declared}"?><testsuite><testcase name="ö\\n"/></testsuite>'
    got = read(text.encode())
    assert got.results[0].test_id == "ö\\n"
    assert got.run.warnings == [
        f"line 1 declares the encoding {declared}, which is unknown; UTF-8 was assumed."
    ]


def test_utf_16_cut_in_a_character(read: Callable[..., Any]) -> None:
    with pytest.raises(InvalidImportError, match="cannot be read as utf-16"):
        read("<testsuite/>".encode("utf-16") + b"\0")


def test_control_characters_become_visible(read: Callable[..., Any]) -> None:
    got = read(
        b"\n<testsuite>\n<testcase name='a\x1b[1m\x00'><system-out>&#27;[0m &#x0; &#xFFFE; &#10;|"
        b"&#x41;&#55296;<![CDATA[\x08 &#27; ]]>\xef\xbf\xbf\xed\xa0\x80&amp;#27;</system-out></testcase>"
        b"</testsuite>"
    )
    assert got.results[0].test_id == "a#x1B[1m#x00"
    assert got.text("system-out.log") == "#x1B[0m #x00 #xFFFE \n|A#xD800#x08 &#27; #xFFFF#xD800&#27;"
    assert got.run.warnings == [
        "line 3 holds a character that XML does not allow; such are shown as #x1B (9 in all)."
    ]


class Dribble(io.BytesIO):
    """A file that gives a few bytes at a time, to put every border between any two of them."""

    size = 1

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(min(self.size, size) if size and size > 0 else size)


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_borders_between_pieces_change_nothing(read: Callable[..., Any], size: int) -> None:
    data = (
        "\ufeff<testsuite><testcase name='🐎&#27;&#10;&lt;'>"
        "<system-out>&#x1b;<![CDATA[&#27;]]>]]&gt;&#0000000027;</system-out></testcase></testsuite>"
    ).encode() + b" "
    data = data.replace(b"&lt;", b"&lt;\xed\xa0\x80\xff")
    whole = read(data)
    dribble = Dribble(data)
    dribble.size = size
    pieces = read(dribble)
    assert pieces.rows == whole.rows
    assert pieces.run.warnings == whole.run.warnings
    assert whole.text("system-out.log") == "#x1B&#27;]]>#x1B"


def test_a_tag_beyond_reason_is_refused(read: Callable[..., Any]) -> None:
    data = b"<testsuite><testcase name='" + b"x" * 400_000 + b"'/></testsuite>"
    assert len(read(data).results[0].test_id) <= 1200
    with pytest.raises(InvalidImportError, match="a single tag is larger than 100,000 bytes"):
        read(data, limits=ImportLimits(document_bytes=100_000))


def test_too_many_properties_are_left_out(read: Callable[..., Any]) -> None:
    properties = b"".join(b"<property name='p%d' value=''/>" % number for number in range(10_010))
    got = read(b"<testsuite>" + properties + b"<testcase name='t'/></testsuite>")
    assert len([key for key in got.results[0].data if key.startswith("p")]) == 10_000
    assert got.run.warnings == [
        "line 1 holds more properties than one test case can have; the rest was left out (10 in all)."
    ]


class Endless(io.RawIOBase):
    """A report of any size that is never in memory."""

    def __init__(self, head: bytes, body: bytes, times: int, tail: bytes) -> None:
        self._parts = [head, *([body] * times), tail]
        self._next = 0

    def readable(self) -> bool:
        return True

    def seek(self, position: int, whence: int = 0, /) -> int:
        assert (position, whence) == (0, 0)
        self._next = 0
        return 0

    def tell(self) -> int:
        return 0 if self._next == 0 else -1

    def read(self, _size: int = -1, /) -> bytes:
        if self._next == len(self._parts):
            return b""
        self._next += 1
        return self._parts[self._next - 1]


def test_huge_output_is_spooled_in_flat_memory(read: Callable[..., Any]) -> None:
    head, tail = b"<testsuite><testcase name='t'><system-out>", b"</system-out></testcase></testsuite>"
    body = b"0123456789abcde\n" * 4096
    content = Endless(head, body, 1000, tail)
    tracemalloc.start()
    got = read(content)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    (artifact,) = got.artifacts
    assert isinstance(artifact.content, SpooledContent)
    assert len(artifact.content) == 1000 * len(body)
    assert sum(map(len, artifact.content.chunks())) == 1000 * len(body)
    assert next(artifact.content.chunks())[: len(body)] == body
    assert peak_bytes < 12 * 1024**2


def test_many_cases_pass_in_flat_memory() -> None:
    body = b"<testcase classname='a.b' name='t'><failure>x</failure></testcase>\n" * 500
    content: Any = Endless(b"<testsuite>", body, 20, b"</testsuite>")
    tracemalloc.start()
    file = reader_of("junit")(content, Upload(UUID(int=1), "a.xml"), ImportLimits())
    rows = sum(1 for _ in file.rows)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert rows == 20_001  # with the run behind them
    assert peak_bytes < 6 * 1024**2


def test_parts_of_one_output_are_spooled_together(read: Callable[..., Any]) -> None:
    part = "<system-out>" + "x" * 700_000 + "</system-out>"
    got = read(f"<testsuite><testcase name='t'>{part * 3}</testcase></testsuite>".encode())
    assert got.text("system-out.log") == "\n".join(["x" * 700_000] * 3)
