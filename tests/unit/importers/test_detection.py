from __future__ import annotations

import io

import pytest

from ibutsu_tasks.errors import InvalidImportError
from ibutsu_tasks.importers import detect_format

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
    ],
)
def test_xml_is_junit_whatever_its_name(data: bytes) -> None:
    content = io.BytesIO(data)
    assert detect_format(content, "results.tar.gz") == "junit"
    assert content.tell() == 0


def test_gzip_is_an_archive_whatever_its_name() -> None:
    assert detect_format(io.BytesIO(b"\x1f\x8b\x08"), "results.xml") == "archive"


def test_the_name_breaks_the_tie_of_white_space() -> None:
    blank = b" " * 5000 + REPORT.encode()
    assert detect_format(io.BytesIO(blank), "a.XML") == "junit"
    with pytest.raises(InvalidImportError):
        detect_format(io.BytesIO(blank), "a.txt")


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
