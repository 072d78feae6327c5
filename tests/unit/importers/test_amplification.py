"""Small files that would take much memory or time: what is repeated, nested or piled up in them."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest

from ibutsu_tasks.errors import InvalidImportError
from ibutsu_tasks.ibutsu.importers import detect_format, reader_of
from ibutsu_tasks.ibutsu.importers.archive.documents import content_type_of
from ibutsu_tasks.ibutsu.importers.findings import Findings
from ibutsu_tasks.ibutsu.importers.json_documents import MAX_VALUES, BrokenDocumentError, json_object
from ibutsu_tasks.ibutsu.importers.parsed import ImportLimits, Upload
from ibutsu_tasks.ibutsu.importers.statuses import red_claim
from ibutsu_tasks.ibutsu.importers.values import INDEXED_BYTES, uuid_or_none
from tests.unit.importers.conftest import IMPORT_ID, RUN_ID

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

RESULT_ID = "bbbbbbbb-0000-4000-8000-000000000001"
MIB = 1024**2


def _rows(report: bytes) -> Iterator[Any]:
    return reader_of("junit")(io.BytesIO(report), Upload(IMPORT_ID, "r.xml"), ImportLimits()).rows


def _peak_bytes(report: bytes) -> int:
    """Give the most memory that an import takes which keeps no row."""
    tracemalloc.start()
    for _ in _rows(report):
        pass
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak_bytes


def test_comments_before_the_root_are_passed_over() -> None:
    assert detect_format(io.BytesIO(b"<!---->" * 500 + b"<testsuite/>"), "a") == "junit"
    with pytest.raises(InvalidImportError, match="HTML page"):
        detect_format(io.BytesIO(b"<?xml version='1.0'?>\n <!-- > --> <!----><HTML>"), "a")


def test_properties_that_change_between_cases_are_not_copied_for_each() -> None:
    many = "".join(f'<property name="k{number}" value="v"/>' for number in range(9_990))
    changing = "".join(f'<testcase/><property name="k1" value="{number}"/>' for number in range(1_000))
    inner = '<testsuite><property name="k2" value="w"/><testcase/></testsuite>' * 500
    report = f"<testsuite>{many}{changing}{inner}</testsuite>".encode()
    assert _peak_bytes(report) < 12 * MIB


def test_each_case_has_the_properties_of_its_moment(read: Callable[..., Any]) -> None:
    got = read(
        b"<testsuites><property name='env' value='1'/>"
        b"<testsuite><property name='a' value='1'/><property name='b' value='1'/><testcase name='t1'/>"
        b"<property name='a' value='2'/><testcase name='t2'/>"
        b"<testsuite><testcase name='t3'/><property name='b' value='3'/><testcase name='t4'/></testsuite>"
        b"<property name='a' value='4'/><testcase name='t5'/></testsuite>"
        b"<property name='env' value='2'/><testsuite><testcase name='t6'/></testsuite></testsuites>"
    )
    told = [(*(result.data.get(key) for key in ("env", "a", "b")), result.env) for result in got.results]
    assert told == [
        ("1", "1", "1", "1"),
        ("1", ["1", "2"], "1", "1"),
        ("1", ["1", "2"], "1", "1"),
        ("1", ["1", "2"], "3", "1"),
        ("1", ["1", "2", "4"], "1", "1"),
        (["1", "2"], None, None, "2"),
    ]
    assert got.run.data["env"] == ["1", "2"]
    assert got.run.env == "2"


def test_what_rows_repeat_of_a_suite_is_cut_and_told(read: Callable[..., Any]) -> None:
    long = "f" * 1_000_000
    got = read(
        f'<testsuites name="{long}"><testsuite file="{long}"><testcase/></testsuite></testsuites>'.encode()
    )
    assert got.results[0].data["fspath"] == long[:10_000]
    assert any("whose name or file is too long; cut off" in warning for warning in got.run.warnings)


REPEATS_TOO_MUCH = (
    "begins a test case that would repeat too much of its suites; their properties are left out"
)


def test_what_rows_repeat_of_a_suite_is_left_out_beyond_the_limit(read: Callable[..., Any]) -> None:
    root = '<property name="env" value="qa"/><property name="component" value="%s"/>' % ("c" * 101)
    suite = f'<testsuite name="s" file="{"f" * 9_700}"><property name="k" value="v"/>'
    report = f"<testsuites>{root}{suite}{'<testcase/>' * 100}</testsuite></testsuites>".encode()
    got = read(report, limits=ImportLimits(unpacked_bytes=500_000))
    whole, brief = got.results[:50], got.results[50:]
    assert all(one.data.keys() == {"run", "fspath", "env", "component", "k"} for one in whole)
    assert {(one.source, one.env, one.component) for one in whole} == {("s", "qa", "c" * 101)}
    assert all(one.data.keys() == {"run"} for one in brief)
    assert {(one.source, one.env, one.component) for one in brief} == {("s", "qa", None)}
    assert len({one.id for one in got.results}) == 100
    assert got.run.warnings == [f"line 1 {REPEATS_TOO_MUCH} (50 in all)."]


def test_suites_as_large_as_those_of_surefire_are_whole_in_every_result() -> None:
    properties = "".join(f'<property name="java.{n:02}" value="{"v" * 140}"/>' for n in range(60))
    case = '<testcase name="testSomething" classname="org.example.SomethingTest" time="0.01"/>'
    rows = [*_rows(f"<testsuite>{properties}{case * 10_000}</testsuite>".encode())]
    assert not rows.pop().warnings
    assert {len(row.data) for row in rows} == {62}


def test_what_a_column_has_and_data_has_whole_counts_twice(read: Callable[..., Any]) -> None:
    report = f'<testsuite><property name="env" value="{"e" * 5_000}"/>{"<testcase/>" * 20}</testsuite>'
    got = read(report.encode(), limits=ImportLimits(unpacked_bytes=100_500))
    assert sum("env_whole" in one.data for one in got.results) == 10


def test_a_suite_that_says_what_happened_to_it_is_brief_too(read: Callable[..., Any]) -> None:
    large = f'<property name="k" value="{"v" * 60_000}"/>'
    inner = "<testsuite name='i'><error>bad</error><property name='own' value='1'/></testsuite>" * 3
    report = f"<testsuite>{large}{inner}</testsuite>".encode()
    got = read(report, limits=ImportLimits(unpacked_bytes=100_000))
    assert ["k" in one.data for one in got.results] == [True, False, False]
    assert [one.result for one in got.results] == ["error"] * 3


def test_the_key_of_a_property_is_cut_as_its_value_is(read: Callable[..., Any]) -> None:
    got = read(f'<testsuite><property name="{"k" * 500_000}" value="v"/><testcase/></testsuite>'.encode())
    assert max(map(len, got.results[0].data)) == 64 * 1024
    assert "property that is too long; cut off" in got.run.warnings[0]


@pytest.mark.parametrize("element", ["<e%030d/>", '<e a%030d=""/>'])
def test_names_without_end_are_refused(read: Callable[..., Any], element: str) -> None:
    names = "".join(element % number for number in range(50_000))
    with pytest.raises(InvalidImportError, match="more different names than any report needs"):
        read(f"<testsuite>{names}</testsuite>".encode())


DECLARATIONS = {
    "declares more than 1,000 attributes": "<!ATTLIST testcase " + "a CDATA #IMPLIED " * 1001 + ">",
    "the document type is larger than 1,048,576 bytes": "<!ATTLIST abcdefg>" * 80_000,
}


@pytest.mark.parametrize("words", DECLARATIONS)
def test_a_document_type_without_end_is_refused(read: Callable[..., Any], words: str) -> None:
    with pytest.raises(InvalidImportError, match=words):
        read(f"<!DOCTYPE t [{DECLARATIONS[words]}]><testsuite/>".encode())


KEEPING: dict[str, Callable[[str], Any]] = {
    "ids": uuid_or_none,
    "names of attributes": lambda name: red_claim({name: "a"}),
    "names of files": content_type_of,
}


@pytest.mark.parametrize("name", KEEPING)
def test_nothing_large_of_a_file_is_kept_behind_its_end(name: str) -> None:
    tracemalloc.start()
    for number in range(20):
        KEEPING[name](f"{number}{'x' * MIB}")
    kept_bytes = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert kept_bytes < MIB


def test_a_tag_is_refused_before_twice_its_limit_is_read() -> None:
    limits = ImportLimits(document_bytes=MIB)
    content = io.BytesIO(b"<testsuite><testcase name='" + b"x" * 8 * MIB)
    with pytest.raises(InvalidImportError, match="a single tag is larger than 1,048,576 bytes"):
        reader_of("junit")(content, Upload(IMPORT_ID, "r.xml"), limits)
    assert content.tell() < 1.2 * MIB


BEFORE_A_TAG = ("", "<testsuite>", "<!-- '=\"' -->", "<testsuite a='>'>" + " " * 65_515)


@pytest.mark.parametrize("before", BEFORE_A_TAG, ids=["nothing", "a tag", "a comment", "the end of a piece"])
def test_a_tag_of_very_many_attributes_is_refused_before_it_takes_memory(before: str) -> None:
    attributes = "".join(f" a{number}='' c{number}=\"'\"" for number in range(300_000))
    content = io.BytesIO(f"{before}<testcase{attributes}/>".encode())
    tracemalloc.start()
    with pytest.raises(InvalidImportError, match="a single tag has more than 100,000 attributes"):
        reader_of("junit")(content, Upload(IMPORT_ID, "r.xml"), ImportLimits())
    assert tracemalloc.get_traced_memory()[1] < 20 * MIB
    tracemalloc.stop()


LOOKS = 'a="1" >' * 150_000
ATTRIBUTES = "".join(f" a{number}=''" for number in range(30_000))


@pytest.mark.parametrize(
    "report",
    [
        f"<testsuite><testcase name='{LOOKS}'/></testsuite>",
        f"<!--{LOOKS}--><testsuite><testcase/></testsuite>",
        f"<testsuite><!--{LOOKS}--><testcase/></testsuite>",
        f"<testsuite><testcase><system-out><![CDATA[{LOOKS}]]></system-out></testcase></testsuite>",
        "<testsuite><testcase>" + '<p a="" b="" c=""/>' * 50_000 + "</testcase></testsuite>",
        f"<testsuite><testcase/>{f'<p{ATTRIBUTES}/>' * 5}</testsuite>",
    ],
    ids=["a value", "a comment first", "a comment", "an output", "many elements", "large elements"],
)
def test_what_only_looks_like_attributes_of_a_tag_is_none(report: str) -> None:
    assert any(hasattr(row, "test_id") for row in _rows(report.encode()))


def test_paths_of_nested_elements_are_cut(read: Callable[..., Any]) -> None:
    name = "e" * 9_000
    report = (
        f"<testsuite><testcase>{f'<{name}>' * 20}{'<b/>' * 5_000}{f'</{name}>' * 20}</testcase></testsuite>"
    )
    got = read(report.encode())
    assert len(got.results[0].data["elements"][0]["element"]) == 10_000
    assert any("more than data holds" in warning for warning in got.run.warnings)


def test_attachments_are_found_whatever_stands_around_them(read: Callable[..., Any]) -> None:
    output = "[[ATTACHMENT|" * 20_000 + "a[1].png]]x[[ATTACHMENT|]][[ATTACHMENT|b\nc]][[ATTACHMENT|d e]]"
    got = read(f"<testsuite><testcase><system-out>{output}</system-out></testcase></testsuite>".encode())
    assert got.results[0].data["attachments"] == ["a[1].png", "d e"]


@pytest.mark.parametrize(
    ("raw", "shown", "told"),
    [
        (b"\xff\x80\x81", "ÿ€\x81", "3 in all"),
        ("привет".encode("cp1251"), "ïðèâåò", "6 in all"),
        (b"\x01\x02\x1b", "#x01#x02#x1B", "3 in all"),
        (b"\xff\x01\xed\xa0\x80\xff", "ÿ#x01#xD800ÿ", "2 in all"),
    ],
)
def test_runs_of_characters_that_do_not_fit(
    read: Callable[..., Any], raw: bytes, shown: str, told: str
) -> None:
    got = read(b"<testsuite><testcase><system-out>" + raw + b"</system-out></testcase></testsuite>")
    assert got.text("system-out.log") == shown
    assert told in got.run.warnings[0]


def test_commas_in_strings_are_no_values() -> None:
    text = ',[{"\\' * MAX_VALUES
    document = {"a": text, 'k"\\': ["\\\\", '"', ",", text]}
    assert json_object(json.dumps(document).encode()) == document
    for values in (b"1," * MAX_VALUES + b"1", b'"",' * MAX_VALUES + b'""', b'"' * 5 * MAX_VALUES):
        with pytest.raises(BrokenDocumentError, match="more than 300,000 values"):
            json_object(b'{"a": ["' + b"x," * MAX_VALUES + b'", ' + values + b"]}")


def test_long_numbers_leave_a_result_whole(read: Callable[..., Any], tar: Callable[..., bytes]) -> None:
    document = b'{"test_id": "t", "env": 1%b, "params": {"n": 1%b}}' % (b"0" * 4299, b"0" * 9_000)
    got = read(tar((f"{RUN_ID}/run.json", {}), (f"{RUN_ID}/{RESULT_ID}/result.json", document)), "archive")
    (result,) = got.results
    assert result.env.startswith("1000")
    assert len(result.env) <= INDEXED_BYTES
    assert result.params == {"n": None}


def test_headers_that_pile_up_before_a_file_are_refused(read: Callable[..., Any]) -> None:
    header = tarfile.TarInfo("x")
    header.type = tarfile.XHDTYPE
    with pytest.raises(InvalidImportError, match="more than 8 headers belong to one file, at byte 4,608"):
        read(gzip.compress(header.tobuf() * 9 + bytes(1024)), "archive")


def test_a_partial_import_reads_a_sound_archive_in_large_pieces(tar: Callable[..., bytes]) -> None:
    class Counted(io.BytesIO):
        reads = 0

        def read(self, size: int | None = -1, /) -> bytes:
            self.reads += 1
            return super().read(size)

    files = [(f"{RUN_ID}/{number}.log", b"%d" % number * 50) for number in range(2_000)]
    reads = []
    for keeps_partial in (False, True):
        content = Counted(tar((f"{RUN_ID}/run.json", {}), *files))
        upload = Upload(IMPORT_ID, "r.tar.gz", keeps_partial=keeps_partial)
        assert sum(1 for _ in reader_of("archive")(content, upload, ImportLimits()).rows) == 2_001
        reads.append(content.reads)
    assert reads[0] == reads[1] < 50


def test_findings_keep_no_long_keys() -> None:
    findings = Findings()
    for number in range(50):
        findings.count_stored("x" * 100_000 + str(number), "data", lambda: 1)
    (stored,) = findings.stored()
    assert len(stored.what) <= 120
    assert stored.count == 50
