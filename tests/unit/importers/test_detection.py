from __future__ import annotations

import bz2
import gzip
import io
import lzma
from typing import TYPE_CHECKING, Any

import pytest

from ibutsu_tasks.errors import InvalidImportError
from ibutsu_tasks.ibutsu.importers import detect_format

if TYPE_CHECKING:
    from collections.abc import Callable

REPORT = '<?xml version="1.0"?><testsuite/>'


@pytest.mark.parametrize(
    "data",
    [
        REPORT.encode(),
        b"\xef\xbb\xbf" + REPORT.encode(),
        b" \r\n\t" + REPORT.encode(),
        REPORT.encode("utf-16"),
        REPORT.encode("utf-16-le"),
        REPORT.encode("utf-16-be"),
        REPORT.encode("utf-32"),
        b"<testsuites>",
        f"what a tool said\n{REPORT}".encode(),
    ],
)
@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, lzma.compress])
def test_xml_is_junit_whatever_its_name(data: bytes, pack: Callable[[bytes], bytes]) -> None:
    content = io.BytesIO(pack(data))
    assert detect_format(content, "results.tar.gz") == "junit"
    assert content.tell() == 0


def test_gzip_is_an_archive_whatever_its_name() -> None:
    assert detect_format(io.BytesIO(b"\x1f\x8b\x08"), "results.xml") == "archive"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "cp1251"])
@pytest.mark.parametrize("blanks", [4095, 4096, 100_000])
def test_white_space_before_a_report_has_any_length(
    read: Callable[..., Any], encoding: str, blanks: int
) -> None:
    declared = f'<?xml version="1.0" encoding="{encoding}"?><testsuite><testcase name="тест"/></testsuite>'
    data = (" \r\n\t"[:blanks] + "\n" * (blanks - 4) + declared).encode(encoding)
    assert detect_format(io.BytesIO(data), "a.txt") == "junit"
    assert [result.test_id for result in read(data).results] == ["тест"]
    with pytest.raises(InvalidImportError, match="is empty"):
        detect_format(io.BytesIO(data[: blanks // 2 * 2]), "a.xml")


@pytest.mark.parametrize("before", ["<!--{}-->", '<?xml version="1.0"?>\n<!--{}-->\n'])
def test_comments_before_a_report_have_any_length(read: Callable[..., Any], before: str) -> None:
    comment = before.format("- x\n" * 100_000)
    data = f'{comment}<testsuite><testcase name="a"/></testsuite>'.encode()
    assert detect_format(io.BytesIO(data), "a.txt") == "junit"
    assert len(read(data).results) == 1


def test_other_text_before_a_report_has_a_few_kib(read: Callable[..., Any]) -> None:
    report = '<?xml version="1.0" encoding="cp1251"?><testsuite><testcase name="тест"/></testsuite>'
    near, far = (f"{'banner ' * count}\n{report}".encode("cp1251") for count in (580, 1200))
    assert detect_format(io.BytesIO(near), "a.xml") == "junit"
    assert [result.test_id for result in read(near).results] == ["тест"]
    with pytest.raises(InvalidImportError, match="looks like plain text"):
        detect_format(io.BytesIO(far), "a.xml")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"\xef\xbb\xbf", "is empty"),
        (b"<!DOCTYPE html><html>", "HTML page"),
        (b'<?xml version="1.0"?>\n<!-- x --><HTML lang="en">', "HTML page"),
        (b'{"tests": 3}', "looks like JSON"),
        (b"PK\x03\x04rest", "looks like a zip file"),
        (b"3 passed in 0.1s", "looks like plain text"),
        (b"a" * 257 + b"ustar\x0000", "looks like a damaged tar file"),
        (b"\x00\x01\x02", "looks like binary data"),
    ],
)
def test_what_is_neither_is_named(data: bytes, words: str) -> None:
    with pytest.raises(InvalidImportError, match=words) as refusal:
        detect_format(io.BytesIO(data), "upload.bin")
    assert str(refusal.value).startswith("upload.bin ")
    assert "expected JUnit XML or an archive written by pytest-ibutsu" in str(refusal.value)


def test_a_hostile_name_cannot_spoil_the_sentence() -> None:
    with pytest.raises(InvalidImportError) as refusal:
        detect_format(io.BytesIO(b""), "a\0\n\udc80" + "b" * 5000)
    assert str(refusal.value).isprintable()
    assert len(str(refusal.value)) < 300
