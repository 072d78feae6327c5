"""Time follows the bytes: whatever a text repeats, five times of it take about five times as long."""

from __future__ import annotations

import io
import re
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ibutsu_tasks.cli.dead.view import shortest_ids
from ibutsu_tasks.errors import InvalidFilterError, InvalidImportError
from ibutsu_tasks.ibutsu.database.models import Result
from ibutsu_tasks.ibutsu.importers import detect_format, reader_of
from ibutsu_tasks.ibutsu.importers.findings import Findings
from ibutsu_tasks.ibutsu.importers.json_documents import BrokenDocumentError, json_object
from ibutsu_tasks.ibutsu.importers.junit.case import Case
from ibutsu_tasks.ibutsu.importers.junit.dialects import dialect_of
from ibutsu_tasks.ibutsu.importers.junit.suite import Suite
from ibutsu_tasks.ibutsu.importers.junit.words import take_element
from ibutsu_tasks.ibutsu.importers.junit.xml_stream import XmlStream
from ibutsu_tasks.ibutsu.importers.junit.xml_text import XmlText
from ibutsu_tasks.ibutsu.importers.parsed import ImportLimits, Upload
from ibutsu_tasks.ibutsu.importers.values import count, indexed, seconds, utc_time
from ibutsu_tasks.ibutsu.operations.query.filters import build_clauses
from ibutsu_tasks.ibutsu.retention import parse_project_ages
from ibutsu_tasks.logs.streams import LinesAsRecords
from ibutsu_tasks.settings.masking import Masker, mask_url_passwords
from ibutsu_tasks.settings.named_secrets import mask_in_text

if TYPE_CHECKING:
    from collections.abc import Callable

SMALLEST_BYTES, LARGEST_BYTES, STEP = 64, 64 * 1024, 1.5
STEPS_COMPARED, MOST_TIMES = 4, 15
"""Over four steps linear work takes 5 times as long, quadratic 26 times."""

NOISE_SECONDS = 0.05
TRIES = 4

PIECES = (
    *("<!---->", "<!--", "-->", "<?xml", "?>", "<![CDATA[", "]]>", "[[ATTACHMENT|", "]]", "]"),
    *("&#", "&#27;", "&amp;", "\x1b", "\x00", "\udcff", "\udced\udca0\udc80", "\ufffe", "я", "a", "1", " "),
    *("\n", "\r", "\t", "<testsuite ", "<testcase ", "<testsuite/>", "<testcase/>", '<property name="a" '),
    *('name="', 'file="', 'value="', '"', "'", "/>", ">", "<", "=", "encoding=", "xml:", "-20261121061205"),
    *("://", ":", "@", "redis://a:", "?password=", "&", "%", ";", "!", "~", "*", "(", ".", "metadata.", "\\"),
    *("{", "}", "[", ",", '\\"', "e5", "1m", "1,", "-", "+", "T", "Z", "token"),
)
UNITS = st.lists(st.sampled_from(PIECES), min_size=1, max_size=4).map("".join)


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _import(report: str) -> None:
    upload = Upload(UUID(int=1), "report.xml")
    for _ in reader_of("junit")(io.BytesIO(_encoded(report)), upload, ImportLimits()).rows:
        pass


def _decode(text: str, declaration: str = "") -> None:
    for _ in XmlText(io.BytesIO(_encoded(declaration + text)), "report.xml", Findings()).pieces():
        pass


def _values(text: str) -> None:
    for read in (seconds, count, utc_time, indexed):
        read(text)


WORK: dict[str, Callable[[str], Any]] = {
    "detection": lambda text: detect_format(io.BytesIO(_encoded("<" + text)), "report.xml"),
    "detection of a comment": lambda text: detect_format(io.BytesIO(_encoded("<!--" + text)), "report.xml"),
    "detection behind white space": lambda text: detect_format(
        io.BytesIO(b" " * len(text) + _encoded(text)), "report.xml"
    ),
    "dialect": lambda text: dialect_of(io.BytesIO(_encoded("<testsuite " + text)), "report.xml"),
    "decoding": _decode,
    "decoding of UTF-16": lambda text: list(
        XmlText(io.BytesIO(text.encode("utf-16", "surrogatepass")), "report.xml", Findings()).pieces()
    ),
    "parsing of elements": lambda text: _import(f"<testsuite>{text}</testsuite>"),
    "parsing of a case": lambda text: _import(f"<testsuite><testcase>{text}</testcase></testsuite>"),
    "parsing of an output": lambda text: _import(
        f"<testsuite><testcase><system-out><![CDATA[{text}]]></system-out></testcase></testsuite>"
    ),
    "parsing of an attribute": lambda text: _import(
        f'<testsuite file="{text}"><testcase name="{text}"/></testsuite>'
    ),
    "JSON": lambda text: json_object(_encoded(f'{{"a": {text}}}')),
    "JSON of a text": lambda text: json_object(_encoded(f'{{"a": "{text}"}}')),
    "values": _values,
    "ages of projects": lambda text: parse_project_ages(f"{text}:results=120d"),
    "masking": mask_url_passwords,
    "masking of what is known": Masker(["redis://:S3cret@h", "aaaa", "me:://:"]).mask,
    "masking of what is named": lambda text: mask_in_text(f"token {text}"),
    "a filter": lambda text: build_clauses(Result.__table__, [text]),
    "the value of a filter": lambda text: build_clauses(Result.__table__, [f"metadata.a*{text}"]),
}


def _seconds_of(work: Callable[[str], Any], text: str) -> float:
    began = time.process_time()
    with suppress(InvalidImportError, InvalidFilterError, BrokenDocumentError, ValueError):
        work(text)
    return time.process_time() - began


def _grows_too_fast(work: Callable[[str], Any], before: str, unit: str) -> str | None:
    """Say between which sizes the time grew too fast; what hangs is met at a small size."""
    size, taken = float(SMALLEST_BYTES), [NOISE_SECONDS]
    while size < LARGEST_BYTES:
        text = before + unit * max(1, int(size) // len(unit))
        taken.append(_seconds_of(work, text))
        earlier = max(taken[-1 - STEPS_COMPARED] if len(taken) > STEPS_COMPARED else 0, NOISE_SECONDS)
        if taken[-1] > MOST_TIMES * earlier:
            return f"{len(text)} characters take {taken[-1]:.2f} s, a fifth of them {earlier:.2f} s"
        size *= STEP
    return None


@pytest.mark.parametrize("name", WORK)
@settings(deadline=None, max_examples=5)
@given(before=UNITS, unit=UNITS)
def test_time_follows_the_length_of_a_text(name: str, before: str, unit: str) -> None:
    for _ in range(TRIES):
        fault = _grows_too_fast(WORK[name], before, unit)
        if fault is None:
            return
    pytest.fail(f"{name} of {before!r} + {unit!r} * n: {fault}")


def test_time_follows_the_number_of_ages_of_projects() -> None:
    def parse(text: str) -> None:
        parse_project_ages(",".join(f"{number}:results=120d" for number in range(len(text) // 4)))

    assert any(_grows_too_fast(parse, "", "a") is None for _ in range(TRIES))


def test_time_follows_the_number_of_words_of_a_case() -> None:
    def take(text: str) -> None:
        suite, stream = Suite(), XmlStream(io.BytesIO(), "report.xml", ImportLimits())
        case = Case(1, {}, suite, suite.properties.snapshot(), suite.properties.snapshot(), 0.0)
        for _ in text:
            take_element(case, "status", {}, b"FAIL", stream)
        assert case.status() == "failed"

    assert any(_grows_too_fast(take, "", "a") is None for _ in range(TRIES))


def _print_in_pieces(text: str) -> None:
    lines = LinesAsRecords("stdout", io.StringIO())
    for piece in text * 4:
        lines.write(piece)


def _report_of(head: str) -> io.BytesIO:
    return io.BytesIO(f"<testsuites{head}></testsuites>".encode())


KNOWN: dict[str, tuple[Callable[[str], Any], str, str]] = {
    "names of secrets": (mask_in_text, "", "token"),
    "a word behind the name of a secret": (mask_in_text, "token ", "a"),
    "ids of what was set aside": (
        lambda text: shortest_ids([f"{number:012x}" for number in range(len(text) // 8)]),
        "",
        "a",
    ),
    "a line that is written in pieces": (_print_in_pieces, "", "."),
    "a root of one name": (
        lambda text: dialect_of(_report_of(f"{text}>{'<testsuite>' * (len(text) // 19)}"), "report.xml"),
        "",
        ' name="Mocha Tests"',
    ),
}
"""What a few pieces at random hardly find: the work, what stands before, and what is repeated."""


@pytest.mark.parametrize("name", KNOWN)
def test_time_follows_the_length_of_what_once_took_long(name: str) -> None:
    work, before, unit = KNOWN[name]
    assert any(_grows_too_fast(work, before, unit) is None for _ in range(TRIES))


def _property(number: int) -> str:
    return f'<property name="k{number}" value="v"/>'


REPEATING: dict[str, Callable[[int], str]] = {
    "properties between cases": lambda n: "".join(f"<testcase/>{_property(k)}" for k in range(n)),
    "properties over suites": lambda n: (
        "".join(map(_property, range(n))) + "<testsuite><testcase/></testsuite>" * n
    ),
    "properties over failed suites": lambda n: (
        "".join(map(_property, range(n))) + "<testsuite><error/></testsuite>" * n
    ),
    "a long name over outputs": lambda n: (
        f'<testsuite name="{"é ß" * (n // 3)}">{"<system-out>a</system-out>" * n}</testsuite>'
    ),
}


@pytest.mark.parametrize("name", REPEATING)
def test_time_follows_the_bytes_where_rows_repeat_their_suites(name: str) -> None:
    def read(text: str) -> None:
        _import(f"<testsuite>{REPEATING[name](len(text) // 8)}</testsuite>")

    assert any(_grows_too_fast(read, "", "a") is None for _ in range(TRIES))


@pytest.mark.parametrize(("pattern", "unit"), [("b*a", "b"), ("(?:<!--.*?-->)*<html", "<!--  -->")])
def test_quadratic_and_exponential_work_is_told(pattern: str, unit: str) -> None:
    assert _grows_too_fast(re.compile(pattern).search, "", unit) is not None
