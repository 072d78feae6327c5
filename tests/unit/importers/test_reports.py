"""Reports as users meet them: what they say is what is stored, and `lint` says the same."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ibutsu_tasks.errors import InvalidImportError
from ibutsu_tasks.ibutsu.importers import detect_format
from ibutsu_tasks.ibutsu.importers.linting import lint
from ibutsu_tasks.ibutsu.importers.packed import zstd
from ibutsu_tasks.ibutsu.importers.parsed import ImportLimits

if TYPE_CHECKING:
    from collections.abc import Callable

REPORTS = Path(__file__).parents[2] / "data" / "reports"
STATUSES = {
    "behave-untested.xml": ["passed", "skipped", "skipped"],
    "exunit-failed-element.xml": ["passed", "failed"],
    "testng-gmt-time.xml": ["passed"],
    "testng-ignored-element.xml": ["passed", "skipped"],
    "newman-suite-error.xml": ["error", "passed"],
    "suite-error-element.xml": ["error", "passed"],
    "attachment-odd-paths.xml": ["passed"],
    "qtest.xml": ["passed", "failed", "xfailed", "skipped", "failed"],
    "openqa-softfail.xml": ["passed", "passed", "error"],
    "jest-suite-1970.xml": ["error", "passed"],
    "phpunit-skipped-suite.xml": ["passed"],
    "long-assignee.xml": ["passed"],
    "suite-duplicate-properties.xml": ["passed"],
}


@pytest.mark.parametrize("name", sorted(STATUSES))
def test_what_a_report_says_is_what_is_stored(read: Callable[..., Any], name: str) -> None:
    path = REPORTS / name
    got = read(path.read_bytes(), filename=name)
    assert [result.result for result in got.results] == STATUSES[name]
    with path.open("rb") as content:
        found = lint(content, name, path.stat().st_size, ImportLimits())
    assert found.warnings == got.run.warnings


@pytest.mark.parametrize(
    ("name", "warning"),
    [
        ("plain-tar.tar.gz", None),
        ("trailing-garbage.tar.gz", None),
        ("symlink-artifact.tar.gz", None),
        ("sparse-pax.tar.gz", "core.bin is a sparse file and was left out."),
        ("windows-paths.tar.gz", None),
        ("no-folder.tar.gz", None),
        ("gzipped-xml.xml.gz", None),
        ("text-before-xml.xml", "line 1 begins text that is no XML; left out, up to the report."),
        ("doctype-external.xml", "line 2 refers to an external document type, which was not fetched."),
    ],
)
def test_files_in_other_forms_are_read(read: Callable[..., Any], name: str, warning: str | None) -> None:
    data = (REPORTS / name).read_bytes()
    got = read(data, detect_format(io.BytesIO(data), name), filename=name)
    assert [result.result for result in got.results] == ["passed"]
    assert len(got.run.warnings) == (warning is not None)
    assert all(one.endswith(warning or "") for one in got.run.warnings)


def read_report(read: Callable[..., Any], name: str) -> Any:
    return read((REPORTS / name).read_bytes(), filename=name)


def suites(inner: str, attributes: str = "") -> bytes:
    return f'<testsuites><testsuite name="shop.Suite" {attributes}>{inner}</testsuite></testsuites>'.encode()


@pytest.mark.parametrize(
    ("attributes", "inner", "status"),
    [
        ('status="FAIL"', "", "failed"),
        ('status="passed" result="error"', "", "error"),
        ('outcome="Failed"', "", "failed"),
        ('status="timed out"', "", "error"),
        ('status="not_run"', "", "skipped"),
        ('status="Not Executed"', "", "skipped"),
        ('result="xpass"', "", "xpassed"),
        ('result="BFAIL"', "", "xfailed"),
        ('status="regression"', "", "failed"),
        ('success="False"', "", "failed"),
        ('executed="false"', "", "skipped"),
        ('status="passed"', "<failure/>", "failed"),
        ("", "<fail message='no'>trace</fail>", "failed"),
        ("", "<Failure message='no'/>", "failed"),
        ("", "<x:failed xmlns:x='urn:x'/>", "failed"),
        ("", "<errored/>", "error"),
        ("", "<ignored/><failed/>", "failed"),
        ("", "<xfail/>", "xfailed"),
        ("", "<pending>later</pending>", "skipped"),
        ("", "<passed/>", "passed"),
    ],
)
def test_words_for_outcomes(read: Callable[..., Any], attributes: str, inner: str, status: str) -> None:
    got = read(suites(f'<testcase name="t" {attributes}>{inner}</testcase>'))
    assert [result.result for result in got.results] == [status]
    assert got.run.warnings == []


def test_other_words_for_elements_keep_their_facts(read: Callable[..., Any]) -> None:
    got = read_report(read, "exunit-failed-element.xml")
    assert got.results[1].data["failure_message"] == "error: no cake"
    assert got.text("traceback.log") == "lib/shop.ex:14: Shop (module)"
    got = read(suites('<testcase name="t"><ignored reason="x">not <b c="d">today</b></ignored></testcase>'))
    assert got.results[0].data["skip_details"] == "not today"


def test_unknown_words_are_kept_and_told(read: Callable[..., Any]) -> None:
    got = read_report(read, "openqa-softfail.xml")
    assert got.results[1].data["attributes"]["status"] == "softfail"
    expected = (
        'line 2 has status="softfail", which is no known outcome; the test case counts as passed unless'
        " something else says how it ended; it is in data.attributes."
    )
    assert got.run.warnings == [expected]


def test_what_happened_to_a_suite_is_a_result(read: Callable[..., Any]) -> None:
    got = read_report(read, "newman-suite-error.xml")
    suite = got.results[0]
    assert (suite.test_id, suite.source, suite.data["suite_level"]) == ("GET tea", "GET tea", True)
    assert suite.duration_seconds == pytest.approx(0.997)
    assert "expected 200 got 400" in got.text("system-err.log")
    assert {artifact.result_id for artifact in got.artifacts} == {suite.id}
    assert got.run.warnings == []
    got = read_report(read, "suite-error-element.xml")
    suite, case = got.results
    assert (suite.test_id, suite.data["suite_level"]) == ("broken.Suite", True)
    assert (suite.data["failure_message"], suite.data["exception_name"]) == ("setUp failed", "RuntimeError")
    assert got.text("traceback.log") == "could not start the browser"
    assert "suite_level" not in case.data
    assert got.run.warnings == []


def test_a_suite_with_cases_keeps_its_output_and_tells_its_failure(read: Callable[..., Any]) -> None:
    inner = (
        '<testcase name="t"/><system-out>out</system-out><failure message="tearDown"/>'
        "<system-err>e</system-err>"
    )
    got = read(suites(inner, 'tests="1" failures="1"'))
    assert [(result.test_id, result.result) for result in got.results] == [
        ("t", "passed"),
        ("shop.Suite", "failed"),
    ]
    owners = {artifact.filename: artifact.result_id for artifact in got.artifacts}
    assert owners == {
        "shop.Suite-system-out.log": None,
        "traceback.log": got.results[1].id,
        "system-err.log": got.results[1].id,
    }
    assert got.run.warnings == []


def test_output_before_the_cases_of_a_failing_suite_belongs_to_the_run(read: Callable[..., Any]) -> None:
    inner = '<system-out>out</system-out><testcase name="t"><failure/></testcase>'
    got = read(suites(inner, 'failures="1"'))
    assert [result.result for result in got.results] == ["failed"]
    assert [(one.filename, one.result_id) for one in got.artifacts] == [("shop.Suite-system-out.log", None)]


def test_an_error_of_the_root_without_a_name(read: Callable[..., Any]) -> None:
    got = read(b'<testsuites><error message="no tests could be collected"/></testsuites>')
    (result,) = got.results
    assert (result.result, result.test_id) == ("error", "(the report itself)")


def test_counts_that_cases_do_not_show_are_told(read: Callable[..., Any]) -> None:
    assert read_report(read, "phpunit-skipped-suite.xml").run.warnings == [
        "The file states 4 tests and holds 1; what it holds counts.",
        "The file states 3 skips and holds 0; what it holds counts.",
    ]
    assert read_report(read, "qtest.xml").run.warnings == [
        "The file states 29 errors and holds 0; what it holds counts."
    ]
    inner = '<testsuite name="a" errors="1"/><testsuite name="b"><testcase name="t"/></testsuite>'
    got = read(f'<testsuites tests="1" errors="0">{inner}</testsuites>'.encode())
    assert got.run.warnings == ["The suite a states 1 error and holds 0; what it holds counts."]
    got = read(b'<testsuite tests="99999999999999999999999999999"><testcase name="t"/></testsuite>')
    assert got.run.warnings == [
        "The file states 99,999,999,999,999,999,999,999,999,999 tests and holds 1; what it holds counts."
    ]
    (warning,) = read(b'<testsuites tests="4"/>').run.warnings
    assert warning == "There are no test cases; the counts that the file states are taken."


def test_a_case_with_two_outcomes_shows_both_counts(read: Callable[..., Any]) -> None:
    inner = '<testcase name="t"><failure/><error/></testcase>'
    got = read(suites(inner, 'tests="1" failures="1" errors="1" skipped="0"'))
    assert ([result.result for result in got.results], got.run.warnings) == (["error"], [])


def test_a_date_that_cannot_be_is_no_date(read: Callable[..., Any]) -> None:
    run = read_report(read, "jest-suite-1970.xml").run
    assert run.start_time == datetime.fromisoformat("2026-11-20T10:00:00")
    assert run.warnings == [
        'line 2 has timestamp="1970-01-01T00:00:00", which is no time a test can have; left out.'
    ]
    for timestamp in ("1999-12-31T23:59:59", "2999-01-01T00:00:00", "0", "0001-01-01T00:00:00"):
        run = read(suites('<testcase name="t"/>', f'timestamp="{timestamp}"')).run
        assert run.start_time is None
        assert "no time a test can have" in run.warnings[0]


def test_a_printed_date_is_read(read: Callable[..., Any]) -> None:
    run = read_report(read, "testng-gmt-time.xml").run
    assert (run.start_time, run.warnings) == (datetime.fromisoformat("2016-11-24T15:45:53"), [])


@pytest.mark.parametrize("before", ["", "x" * 2_000_000 + "\n", "x" * 3_000_000])
def test_every_attachment_is_listed(read: Callable[..., Any], before: str) -> None:
    path = REPORTS / "attachment-odd-paths.xml"
    got = read(path.read_bytes().replace(b"I am Case1", before.encode()))
    assert got.results[0].data["attachments"] == [
        r"C:\work\ann build\Case1\Attachment.txt",
        r"C:\work\ann build\Case1\Nested\Attachment.txt",
        "out/app-[id]-page/trace.zip",
        "out/test_x[chromium].png",
    ]


def test_attachments_on_one_line_and_across_pieces(read: Callable[..., Any]) -> None:
    line = "[[ATTACHMENT|a[1].png]] and [[ATTACHMENT|b[[2]]]] [[ATTACHMENT|never ends"
    for before in (0, 1024 * 1024 - 20, 1024 * 1024 - 5):
        got = read(suites(f'<testcase name="t"><system-out>{"x" * before}{line}</system-out></testcase>'))
        assert got.results[0].data["attachments"] == ["a[1].png", "b[[2]]"]


def test_a_property_given_twice_keeps_both_values(read: Callable[..., Any]) -> None:
    got = read_report(read, "suite-duplicate-properties.xml")
    assert got.results[0].data["Category"] == ["Smoke", "Slow"]
    assert got.run.data["Category"] == ["Smoke", "Slow"]
    twice = '<property name="env" value="a"/><property name="env" value="b"/><property name="env" value="a"/>'
    inner = f'<testcase name="t"><properties>{twice}</properties></testcase>'
    (result,) = read(suites(inner)).results
    assert result.data["env"] == ["a", "b"]
    got = read(
        f"<testsuites><properties>{twice}</properties><testsuite>{inner}</testsuite></testsuites>".encode()
    )
    assert (got.run.env, got.results[0].env) == ("b", "b")


def test_a_value_too_long_for_an_index_is_cut_and_kept(read: Callable[..., Any]) -> None:
    got = read_report(read, "long-assignee.xml")
    data = got.results[0].data
    assert len(data["assignee"].encode()) <= 600
    assert len(data["assignee_whole"]) > 2000
    (warning,) = got.run.warnings
    assert warning.startswith("test case t.a has more in assignee than an index takes; it was cut")
    assert warning.endswith("whole in data.assignee_whole.")


@pytest.mark.parametrize("column", ["env", "component", "source"])
def test_columns_too_long_for_an_index_are_told(read: Callable[..., Any], column: str) -> None:
    long = "é" * 5000
    metadata = {column: long} if column != "source" else {}
    got = read(suites('<testcase name="t"/>'), metadata=metadata, source=long if column == "source" else None)
    (result,) = got.results
    for row in (result, got.run):
        assert len(getattr(row, column).encode()) <= 1200
        assert long in row.data.values()
    assert any(warning.startswith(f"test case t has more in {column}") for warning in got.run.warnings)


RUN = "aaaaaaaa-0000-4000-8000-000000000001"
ONE = "bbbbbbbb-0000-4000-8000-000000000001"
XML = b'<testsuite><testcase name="t"/></testsuite>'


def members(run: str = f"{RUN}/", separator: str = "/") -> list[tuple[str, Any]]:
    result = {"id": ONE, "test_id": "t", "result": "passed", "start_time": "2026-11-21T06:00:01"}
    paths = [
        (f"{run}{ONE}/a.log", b"first"),
        (f"{run}{ONE}/result.json", result),
        (f"{run}run.json", {"id": RUN, "start_time": "2026-11-21T06:00:00", "summary": {"tests": 1}}),
    ]
    return [(path.replace("/", separator), value) for path, value in paths]


def link(path: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo(path)
    info.type, info.linkname = kind, target
    return info


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, lzma.compress, zstd.compress])
def test_archives_and_reports_in_any_packing(
    read: Callable[..., Any], tar: Callable[..., bytes], pack: Callable[[bytes], bytes]
) -> None:
    for data, kind in ((tar(*members(), compress=False), "archive"), (XML, "junit")):
        packed = pack(data)
        assert detect_format(io.BytesIO(packed), "upload") == kind
        assert len(read(packed, kind).results) == 1
        if pack is not bytes:
            with pytest.raises(InvalidImportError, match=r"^cut\.file.*cut off"):
                read(packed[:-6], kind, filename="cut.file")


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress])
def test_a_packed_report_that_is_cut_off_is_told_by_what_is_there(
    read: Callable[..., Any], pack: Callable[[bytes], bytes]
) -> None:
    data = pack(XML)[:-6]
    assert detect_format(io.BytesIO(data), "upload") == "junit"
    assert len(read(data, keeps_partial=True).results) == 1
    cases = "".join(f'<testcase name="t{number}">{number**9}</testcase>' for number in range(6_000))
    packed = pack(suites(cases))
    got = read(packed[: len(packed) * 3 // 4], keeps_partial=True, filename="cut.file")
    assert str(got.run.break_error) == "cut.file is cut off in its packed form."
    assert 3_000 < len(got.results) < 6_000
    assert got.results[-1].test_id == f"t{len(got.results) - 1}"


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress, zstd.compress])
@pytest.mark.parametrize("cut", [20, -60])
def test_what_gives_nothing_when_it_is_unpacked_is_called_no_archive(
    read: Callable[..., Any], pack: Callable[[bytes], bytes], cut: int
) -> None:
    packed = pack(suites("".join(f'<testcase name="{number}"/>' for number in range(100))))[:cut]
    kind = detect_format(io.BytesIO(packed), "a.xml")
    with pytest.raises(InvalidImportError, match=r"^cut\.file") as refusal:
        read(packed, kind, filename="cut.file")
    assert "archive" not in str(refusal.value)
    assert "is cut off in its packed form" in str(refusal.value)


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress, zstd.compress])
@pytest.mark.parametrize("content", [b"", b" \n" * 5_000, bytes(10_240)], ids=["nothing", "space", "no file"])
def test_a_packed_file_of_nothing_is_called_empty(
    read: Callable[..., Any], pack: Callable[[bytes], bytes], content: bytes
) -> None:
    packed = pack(content)
    with pytest.raises(InvalidImportError, match=r"^nothing\.gz is empty when it is unpacked\.$"):
        read(packed, detect_format(io.BytesIO(packed), "nothing.gz"), filename="nothing.gz")


def test_what_lint_shows_of_names_in_a_file_is_short() -> None:
    long = "k" * 60_000
    properties = f'<properties><property name="{long}" value="{long}"/></properties>'
    case = f'<testcase name="{long}" {long}="" status="{long}"><{long}/>{properties}</testcase>'
    report = f'<testsuite name="{long}">{properties}{case}<{long}/></testsuite>'
    found = lint(io.BytesIO(report.encode()), f"{long}.xml", len(report), ImportLimits())
    assert found.run is not None
    names = [*found.data, *found.run["data"], *found.warnings]
    names += [name for one in found.kept for name in (one.what, one.where)]
    assert max(map(len, names)) < 500


def test_a_packed_report_meets_the_limit(read: Callable[..., Any]) -> None:
    with pytest.raises(InvalidImportError, match="unpacks to more than 100,000 bytes"):
        read(gzip.compress(XML + b" " * 1_000_000), limits=ImportLimits(unpacked_bytes=100_000))


@pytest.mark.parametrize(("run", "separator"), [("", "/"), ("./", "/"), (f"{RUN}/", "\\"), ("", "\\")])
def test_other_layouts_of_an_archive(
    read: Callable[..., Any], tar: Callable[..., bytes], run: str, separator: str
) -> None:
    got = read(tar(*members(run, separator)), "archive")
    assert (str(got.run.id), [result.test_id for result in got.results]) == (RUN, ["t"])
    assert [(one.filename, str(one.result_id)) for one in got.artifacts] == [("a.log", ONE)]
    assert got.run.warnings == []


def test_links_hold_what_they_lead_to(read: Callable[..., Any], tar: Callable[..., bytes]) -> None:
    folder = f"{RUN}/{ONE}"
    links = [
        link(f"{folder}/same.log", "a.log"),
        link(f"{folder}/hard.log", f"{folder}/a.log", tarfile.LNKTYPE),
        link(f"{RUN}/of-run.log", f"{ONE}/a.log"),
        link(f"{folder}/up.log", "../of-run.log"),
        link(f"{folder}/away.log", "../../../../etc/passwd"),
        link(f"{folder}/absolute.log", "/etc/passwd"),
        link(f"{folder}/gone.log", "gone"),
    ]
    got = read(tar(links[0], *members(), *links[1:]), "archive")
    assert {one.filename: one.content for one in got.artifacts} == dict.fromkeys(
        ("a.log", "same.log", "hard.log", "of-run.log"), b"first"
    )
    (warning,) = got.run.warnings
    assert warning.endswith(
        "away.log is a link to what is no file of the archive and was left out (4 in all)."
    )


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
@pytest.mark.parametrize("is_first", [True, False])
def test_a_document_that_is_a_link_is_read(
    read: Callable[..., Any], tar: Callable[..., bytes], kind: bytes, *, is_first: bool
) -> None:
    artifact, (_, result), (_, run) = members()
    hard = f"{RUN}/" if kind == tarfile.LNKTYPE else ""
    links = [
        link(f"{RUN}/run.json", f"{hard}store/run", kind),
        link(f"{RUN}/{ONE}/result.json", f"{hard or '../'}store/one", kind),
        link(f"{RUN}/{ONE}/same.log", f"{RUN}/{ONE}/a.log" if hard else "a.log", kind),
    ]
    files = [(f"{RUN}/store/run", run), (f"{RUN}/store/one", result)]
    for keeps_partial in (False, True):
        got = read(
            tar(*(links if is_first else ()), artifact, *files, *(() if is_first else links)),
            "archive",
            keeps_partial=keeps_partial,
        )
        assert (str(got.run.id), got.run.start_time) == (RUN, datetime(2026, 11, 21, 6))  # noqa: DTZ001
        assert got.run.claimed_summary == {"tests": 1}
        assert [(str(one.id), one.result) for one in got.results] == [(ONE, "passed")]
        assert {(one.filename, str(one.result_id)) for one in got.artifacts} == {
            ("a.log", ONE),
            ("same.log", ONE),
        }
        (warning,) = got.run.warnings
        assert "store" in warning


def test_a_result_that_links_to_another_is_one_of_its_own(
    read: Callable[..., Any], tar: Callable[..., bytes]
) -> None:
    two = ONE.replace("1", "2")
    other = link(f"{RUN}/{two}/result.json", f"../{ONE}/result.json")
    broken = link(f"{RUN}/{ONE.replace('1', '3')}/result.json", f"../{ONE}/a.log")
    gone = link(f"{RUN}/{ONE.replace('1', '4')}/result.json", "gone.json")
    got = read(tar(other, broken, gone, (f"{RUN}/{two}/b.log", b"b"), *members()), "archive")
    assert sorted(str(one.id) for one in got.results) == sorted([ONE, two])
    assert {(one.filename, str(one.result_id)) for one in got.artifacts} == {("a.log", ONE), ("b.log", two)}
    assert len(got.run.warnings) == 3
    assert any("states the id of another result" in warning for warning in got.run.warnings)


def test_of_too_many_links_the_rest_is_left_out(
    read: Callable[..., Any], tar: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ibutsu_tasks.ibutsu.importers.archive.links.MAX_LINKS", 3)
    links = [link(f"{RUN}/{ONE}/{number}", "a.log") for number in range(5)]
    got = read(tar(*members(), *links), "archive")
    assert len(got.artifacts) == 4
    (warning,) = got.run.warnings
    assert warning == f"{RUN}/{ONE}/3 is one of more than 3 links and was left out (2 in all)."


def test_links_repeat_no_more_than_the_archive_allows(
    read: Callable[..., Any], tar: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ibutsu_tasks.ibutsu.importers.archive.links.REPEATED_BYTES", 0)
    big = (f"{RUN}/{ONE}/big.log", b"x" * 10_000)
    links = [link(f"{RUN}/{ONE}/{number}", "big.log") for number in range(600)]
    got = read(tar(*members(), big, *links), "archive")
    assert 200 * 10_000 < sum(len(one.content) for one in got.artifacts) < 300 * 15_000
    (warning,) = got.run.warnings
    assert "is a link beyond 200 times the bytes of the archive and was left out" in warning


def test_links_meet_the_limit(read: Callable[..., Any], tar: Callable[..., bytes]) -> None:
    big = (f"{RUN}/{ONE}/big.log", b"x" * 10_000)
    links = [link(f"{RUN}/{ONE}/{number}", "big.log") for number in range(100)]
    with pytest.raises(InvalidImportError, match="unpacks to more than"):
        read(tar(*members(), big, *links), "archive", limits=ImportLimits(unpacked_bytes=200_000))


def test_an_old_sparse_member_is_left_out(read: Callable[..., Any], tar: Callable[..., bytes]) -> None:
    info = link(f"{RUN}/{ONE}/core", "", tarfile.GNUTYPE_SPARSE)
    got = read(tar(info, *members()), "archive")
    assert [one.filename for one in got.artifacts] == ["a.log"]
    assert got.run.warnings == [f"{RUN}/{ONE}/core is a sparse file and was left out."]


def test_counts_of_an_archive_that_its_results_do_not_show(
    read: Callable[..., Any], tar: Callable[..., bytes]
) -> None:
    run = {"id": RUN, "start_time": "2026-11-21T06:00:00", "summary": {"tests": 1, "failures": 7}}
    got = read(tar(*members()[:2], (f"{RUN}/run.json", run)), "archive")
    assert got.run.warnings == ["The file states 7 failures and holds 0; what it holds counts."]


def test_impossible_dates_of_an_archive(read: Callable[..., Any], tar: Callable[..., bytes]) -> None:
    result = {"id": ONE, "test_id": "t", "result": "passed", "start_time": 0}
    run = {"id": RUN, "start_time": "2999-01-01T00:00:00"}
    got = read(tar((f"{RUN}/run.json", run), (f"{RUN}/{ONE}/result.json", result)), "archive")
    assert (got.run.start_time, got.results[0].start_time) == (None, None)
    assert len(got.run.warnings) == 2


def test_the_text_before_a_report_may_be_long(read: Callable[..., Any]) -> None:
    before = b"loading a module <b>\n" * 100
    got = read(before + b"<testsuite>\n<testcase name='t' status='odd'/></testsuite>")
    assert len(got.results) == 1
    assert got.run.warnings[1].startswith("line 102 has status")


def test_properties_given_again_and_again_are_bounded(read: Callable[..., Any]) -> None:
    many = "".join(f'<property name="p" value="{number}"/>' for number in range(1000))
    got = read(suites(f'<testcase name="t"><properties>{many}</properties></testcase>'))
    assert len(got.results[0].data["p"]) == 100
    assert "more properties than one test case can have" in got.run.warnings[0]


@pytest.mark.parametrize(
    ("attributes", "status"),
    [
        ('state="failed"', "failed"),
        ('verdict="FAIL"', "failed"),
        ('passed="false"', "failed"),
        ('success="no"', "failed"),
        ('pass="false"', "failed"),
        ('ok="0"', "failed"),
        ('fail="true"', "failed"),
        ('failure="TRUE"', "failed"),
        ('failure="a message" pass="true"', "passed"),
        ('error="true"', "error"),
        ('executed="no"', "skipped"),
        ('passed="true" failed="false" error="false"', "passed"),
        ('status="FAILED: timeout"', "failed"),
        ('status="failed_setup"', "failed"),
        ('status="Cancelled"', "error"),
        ('result="killed"', "error"),
        ('tests="1" failures="1" errors="0"', "failed"),
        ('failures="1" errors="2"', "error"),
        ('status="passed" failures="1"', "failed"),
        ('failures="0" errors="none"', "passed"),
        ('status="passed with remarks" result="passed"', "passed"),
        ('Status="Failed"', "failed"),
        ('test-result="fail"', "failed"),
        ('xmlns:x="y" x:status="failed"', "failed"),
        ('conclusion="failure"', "failed"),
        ('isSuccess="N"', "failed"),
        ('Failures="1"', "failed"),
        ('failure-count="2" errorCount="0"', "failed"),
        ('errors="yes"', "error"),
    ],
)
def test_red_in_other_attributes_and_longer_values(
    read: Callable[..., Any], attributes: str, status: str
) -> None:
    got = read(suites(f'<testcase name="t" {attributes}/>'))
    assert [result.result for result in got.results] == [status]


@pytest.mark.parametrize(
    ("element", "status"),
    [
        ("<status>FAIL</status>", "failed"),
        ("<Verdict> Error </Verdict>", "error"),
        ('<outcome value="failed"/>', "failed"),
        ("<result>passed</result>", "passed"),
        (f"<status>{'failed ' * 1000}</status>", "failed"),
        (f"<status>{'failed ' * 200_000}</status>", "failed"),
        ('<status code="FAIL"/>', "failed"),
        ('<result name="Error handling works" value="passed"/>', "passed"),
        ('<result message="failed once, then not"/>', "passed"),
        ("<test-result>failed</test-result>", "failed"),
        ("<status><code>failed</code></status>", "passed"),
        ("<passed>false</passed>", "failed"),
        ("<isSuccess> No </isSuccess>", "failed"),
        ("<passed>true</passed>", "passed"),
    ],
)
def test_red_in_elements_named_as_the_attributes(read: Callable[..., Any], element: str, status: str) -> None:
    got = read(suites(f'<testcase name="t">{element}</testcase>'))
    assert [result.result for result in got.results] == [status]


def test_red_in_the_attributes_of_an_unknown_element_is_told(read: Callable[..., Any]) -> None:
    got = read(suites('<testcase name="t"><assertion result="failed"/></testcase>'))
    expected = (
        'line 1 holds <assertion> with result="failed", which is not said of the test case itself;'
        " it counts as passed unless something else says how it ended."
    )
    assert (got.results[0].result, got.run.warnings) == ("passed", [expected])


@pytest.mark.parametrize(
    "case",
    [
        '<testcase name="t" disposition="FAILED"/>',
        '<testcase name="t" error="it broke"/>',
        '<testcase name="t"><properties><property name="status" value="failed"/></properties></testcase>',
        '<testcase name="t"><properties><property name="Outcome">FAILED</property></properties></testcase>',
        '<testcase name="t"><properties><property name="success" value="false"/></properties></testcase>',
        '<testcase name="t"><result><status>failed</status></result></testcase>',
        '<testcase name="t"><status><code>failed</code></status></testcase>',
        '<testcase name="t"><status><failed/></status></testcase>',
        '<testcase name="t"><steps><step><Failed>at 3</Failed></step></steps></testcase>',
        '<testcase name="t" passed="failed"/>',
        '<testcase name="t" ok="not ok"/>',
        '<testcase name="t" failed="3"/>',
        '<testcase name="t" error-message="it broke"/>',
        '<testcase name="t" exception="ValueError"/>',
    ],
)
def test_a_red_word_in_a_place_that_is_not_known_is_told(read: Callable[..., Any], case: str) -> None:
    got = read(suites(case))
    assert got.results[0].result == "passed"
    (warning,) = got.run.warnings
    assert "counts as passed unless something else says how it ended" in warning


def test_what_is_no_word_of_an_end_is_not_told(read: Callable[..., Any]) -> None:
    got = read(
        suites(
            '<testcase name="t" severity="error" error="" failure="none" description="failed it"'
            ' flaky="false" maxFailures="3" expectedException="ValueError" error-message="none">'
            "<stats><failed>0</failed><crash>none</crash></stats>"
            '<properties><property name="status" value="ready"/><property name="if" value="failed"/>'
            "</properties></testcase>"
        )
    )
    assert (got.results[0].result, got.run.warnings) == ("passed", [])


def test_elements_go_before_counts_of_a_case(read: Callable[..., Any]) -> None:
    got = read(suites('<testcase name="t" failures="1"><skipped/></testcase>'))
    assert got.results[0].result == "skipped"
    told = 'line 1 ends a test case with failures="1" whose elements say skipped'
    assert got.run.warnings[0].startswith(told)


def test_a_red_element_that_is_unknown_is_told(read: Callable[..., Any]) -> None:
    got = read(suites('<testcase name="t"><setup-failure message="m">text</setup-failure></testcase>'))
    expected = (
        "line 1 holds <setup-failure>, which is no known outcome; the test case counts as passed unless"
        " something else says how it ended; it is in data.elements."
    )
    assert got.run.warnings == [expected]
    got = read(suites('<testcase name="t"><failure/><failure-details>text</failure-details></testcase>'))
    assert (got.results[0].result, got.run.warnings) == ("failed", [])


def test_a_case_that_is_called_failed_and_skipped_is_told(read: Callable[..., Any]) -> None:
    got = read(suites('<testcase name="t" status="failed"><skipped/></testcase>'))
    expected = (
        'line 1 ends a test case with status="failed" whose elements say skipped, which was taken;'
        " the other is in the result's data."
    )
    assert (got.results[0].result, got.run.warnings) == ("skipped", [expected])


@pytest.mark.parametrize("inner", ["", '<testcase name="t"/>', '<testsuite><testcase name="t"/></testsuite>'])
def test_a_suite_that_calls_itself_red_is_told(read: Callable[..., Any], inner: str) -> None:
    got = read(f'<testsuites><testsuite name="s" status="failed">{inner}</testsuite></testsuites>'.encode())
    expected = (
        'line 1 ends the suite s, which has status="failed" while nothing in it failed;'
        " it is in the run's data.suites."
    )
    assert got.run.warnings == [expected]
    got = read(
        b'<testsuites result="failed"><testsuite name="s"><testcase name="t"/></testsuite></testsuites>'
    )
    assert got.run.warnings[0].startswith("line 1 ends the suite (the report itself), which has")


@pytest.mark.parametrize(
    "suite",
    [
        '<testsuite name="s">{0}<testcase name="t"/></testsuite>',
        '<testsuite name="s"><testcase name="t"/>{0}</testsuite>',
        '<testsuite name="s">{0}<testsuite><testcase name="t"/></testsuite></testsuite>',
        '<testsuite name="s">{0}</testsuite>',
    ],
)
@pytest.mark.parametrize("root", ["testsuites", None])
def test_a_suite_with_a_red_property_is_told(read: Callable[..., Any], suite: str, root: str | None) -> None:
    properties = (
        '<properties><property name="a" value="b"/><property name="Status" value="FAILED"/></properties>'
    )
    report = suite.format(properties)
    got = read((f"<{root}>{report}</{root}>" if root else report).encode())
    expected = 'line 1 ends the suite s, which has the property Status="FAILED" while nothing in it failed.'
    assert got.run.warnings == [expected]


def test_a_red_property_of_a_suite_that_a_case_shows_is_not_told(read: Callable[..., Any]) -> None:
    report = suites(
        '<properties><property name="status" value="failed"/></properties><testcase><error/></testcase>'
    )
    assert read(report).run.warnings == []


def test_properties_that_no_case_has_are_in_the_run(read: Callable[..., Any]) -> None:
    one = '<property name="a" value="1"/>'
    got = read(
        f'<testsuites><testsuite name="empty">{one}<property name="a" value="2"/></testsuite>'
        f'<testsuite name="outer"><testsuite name="inner"><testcase/></testsuite>{one}</testsuite>'
        f'<testsuite name="broken">{one}<error/></testsuite></testsuites>'.encode()
    )
    assert got.run.data["suites"] == [
        {"path": ["empty"], "properties": {"a": ["1", "2"]}},
        {"path": ["outer"], "properties": {"a": "1"}},
    ]
    assert [one.data.get("a") for one in got.results] == [None, "1"]


def test_a_suite_that_calls_itself_red_as_its_cases_do_is_not(read: Callable[..., Any]) -> None:
    inner = '<testsuite name="i"><testcase name="t"><error/></testcase></testsuite><testcase name="u"/>'
    got = read(
        f'<testsuites status="failed"><testsuite status="error">{inner}</testsuite></testsuites>'.encode()
    )
    assert got.run.warnings == []
