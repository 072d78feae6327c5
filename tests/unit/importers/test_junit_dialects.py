"""What the elements and attributes of JUnit XML become, in the dialects of several tools."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable


def suite(inner: str, root: str = "") -> bytes:
    return f'<testsuites {root}><testsuite name="s">{inner}</testsuite></testsuites>'.encode()


def case(inner: str = "", attributes: str = 'classname="a.b.C" name="t"') -> bytes:
    return suite(f"<testcase {attributes}>{inner}</testcase>")


def test_run_fields(read: Callable[..., Any]) -> None:
    data = (
        b'<testsuites time="1,024.12" timestamp="2026-11-21T07:00:00+01:00"'
        b' tests="9" failures="2" skipped="1">'
        b'<properties><property name="env" value="stage"/><property key="component">shop</property>'
        b'<property name="source" value="ci"/><property name="project" value="p"/></properties>'
        b'<testsuite name="s"><testcase name="t" time="0,160"/></testsuite></testsuites>'
    )
    got = read(data, filename="x_AAAAAAAA-0000-4000-8000-000000000001.xml", metadata={"env": "prod", "n": 1})
    run = got.run
    assert run.id == UUID("aaaaaaaa-0000-4000-8000-000000000001")
    assert run.start_time == datetime.fromisoformat("2026-11-21T06:00:00")
    assert run.duration_seconds == pytest.approx(1024.12)
    suites = [{"path": [], "attributes": {"timestamp": "2026-11-21T07:00:00+01:00"}}]
    stated = {"env": "prod", "component": "shop", "source": "ci", "project": "p", "n": 1}
    assert run.data == {**stated, "suites": suites}
    assert (run.env, run.component, run.source, run.project) == ("prod", "shop", "ci", "p")
    assert run.claimed_summary == {"tests": 9, "failures": 2, "skips": 1}
    (result,) = got.results
    assert (result.env, result.component, result.source) == ("prod", "shop", "s")
    assert result.duration_seconds == pytest.approx(0.16)
    assert run.warnings == [
        "The file states 9 tests and holds 1; what it holds counts.",
        "The file states 2 failures and holds 0; what it holds counts.",
        "The file states 1 skip and holds 0; what it holds counts.",
    ]


def test_run_fields_are_known_before_the_rows(read: Callable[..., Any]) -> None:
    first_properties = b'<properties><property name="env" value="e"/></properties>'
    many = b'<testcase name="t"/>' * 20_000
    got = read(b"<testsuite>" + first_properties + many + b"</testsuite>")
    assert got.run.env == "e"
    assert len(got.results) == 20_000


def test_only_version_4_uuids_of_the_name_are_run_ids(read: Callable[..., Any]) -> None:
    run_id = UUID("aaaaaaaa-0000-4000-8000-000000000001")
    assert read(case(), filename="aaaaaaaa-0000-1000-8000-000000000001.xml").run.id != run_id
    for name in (f"{run_id}.xml", f"build{run_id}.xml", f"x-{str(run_id).upper()}e.xml"):
        assert read(case(), filename=name).run.id == run_id


def test_the_earliest_suite_starts_the_run_when_the_root_does_not_say(read: Callable[..., Any]) -> None:
    data = (
        b'<testsuites><testsuite timestamp="2026-11-21T07:00:00"/><testsuite timestamp="2026-11-21T06:00:00">'
        b'<testcase name="t"/></testsuite><testsuite timestamp="2026-11-21T05:00:00"/></testsuites>'
    )
    assert read(data).run.start_time == datetime.fromisoformat("2026-11-21T06:00:00")


@pytest.mark.parametrize(
    ("classname", "name", "test_id", "fspath"),
    [
        ("tests.test_a.TestA", "test_b", "TestA.test_b", "tests/test_a"),
        ("TestA", "test_b", "TestA.test_b", None),
        (None, "pkg.mod.test_b", "test_b", None),
        ("a.b", "ends.", "b.ends.", "a"),
        ("a.b", None, "a.b", "a"),
        (None, None, "test case 1", None),
    ],
)
def test_test_id_and_path(
    read: Callable[..., Any], classname: str | None, name: str | None, test_id: str, fspath: str | None
) -> None:
    attributes = "".join(
        f' {key}="{value}"' for key, value in (("classname", classname), ("name", name)) if value is not None
    )
    (result,) = read(case(attributes=attributes)).results
    assert result.test_id == test_id
    assert result.data.get("fspath") == fspath


def test_the_file_of_the_suite_goes_before_that_of_the_case(read: Callable[..., Any]) -> None:
    data = b'<testsuite file="s.py"><testcase name="t" classname="a.b" file="c.py" line="7"/></testsuite>'
    (result,) = read(data).results
    assert (result.data["fspath"], result.data["line"]) == ("s.py", "7")
    (result,) = read(data.replace(b' file="s.py"', b"")).results
    assert result.data["fspath"] == "c.py"


def test_properties_later_wins(read: Callable[..., Any]) -> None:
    data = (
        b'<testsuites><property name="a" value="root"/><property name="b" value="root"/>'
        b'<testsuite><properties><property name="b" value="suite"/><property name="c" value="suite"/>'
        b'</properties><testcase name="t">'
        b'<properties><property name="c" value="case"/><property name="d"> text </property></properties>'
        b'</testcase><testcase name="u"/></testsuite><testsuite><testcase name="v"/></testsuite></testsuites>'
    )
    first, second, third = (result.data for result in read(data).results)
    assert {key: first[key] for key in "abcd"} == {"a": "root", "b": "suite", "c": "case", "d": "text"}
    assert (second["c"], "d" in second, "c" in third, third["b"]) == ("suite", False, False, "root")


def test_properties_after_a_case_hold_for_later_cases_only(read: Callable[..., Any]) -> None:
    data = b'<testsuite><testcase name="t"/><property name="a" value="1"/><testcase name="u"/></testsuite>'
    first, second = (result.data for result in read(data).results)
    assert ("a" in first, second["a"]) == (False, "1")


def test_nested_suites(read: Callable[..., Any]) -> None:
    data = (
        b'<testsuites><testsuite name="a"><testcase name="1"/><testsuite name="b"><properties>'
        b'<property name="k" value="v"/></properties><testcase name="2"/></testsuite><testcase name="3"/>'
        b"</testsuite></testsuites>"
    )
    first, second, third = read(data).results
    assert [r.source for r in (first, second, third)] == ["a", "b", "a"]
    assert second.data["suites"] == ["a", "b"]
    assert "suites" not in first.data
    assert (second.data["k"], "k" in third.data) == ("v", False)


@pytest.mark.parametrize(
    ("inner", "status"),
    [
        ("", "passed"),
        ("<failure/>", "failed"),
        ("<error/>", "error"),
        ("<skipped/>", "skipped"),
        ("<xfailure/>", "xfailed"),
        ("<xpassed/>", "xpassed"),
        ("<failure/><error/>", "error"),
        ("<skipped/><failure/>", "failed"),
        ("<flakyFailure>first try</flakyFailure>", "passed"),
        ("<failure/><rerunFailure/>", "failed"),
        ("<rerunFailure/>", "failed"),
        ("<rerunFailure/><rerunError/>", "error"),
        ("<rerunError/><rerunFailure/>", "failed"),
        ("<flakyFailure/><rerunFailure/>", "failed"),
        ("<rerunFailure/><skipped/>", "skipped"),
    ],
)
def test_status(read: Callable[..., Any], inner: str, status: str) -> None:
    assert [result.result for result in read(case(inner)).results] == [status]


ODD = """<testsuite name="s"><testcase name="before"/>
<testcase name="outer"><property name="p" value="1"/>%s<failure>f</failure></testcase>
<testcase name="after"/></testsuite>"""


@pytest.mark.parametrize(
    ("inner", "warning"),
    [
        ('<testcase name="inner"><error>e</error></testcase>', "a test case inside a test case"),
        (
            '<testsuite name="i"><testcase name="inner"><error>e</error></testcase></testsuite>',
            "a suite inside a test case",
        ),
        (
            '<group><testcase name="inner"><error>e</error></testcase>x</group>',
            "a test case inside a test case",
        ),
        (
            '<system-out>a<testcase name="inner"><error>e</error></testcase>b</system-out>',
            "a test case inside a test case",
        ),
    ],
)
def test_what_begins_inside_a_test_case_is_read_on_its_own(
    read: Callable[..., Any], inner: str, warning: str
) -> None:
    got = read((ODD % inner).encode())
    assert [(result.test_id, result.result) for result in got.results] == [
        ("before", "passed"),
        ("inner", "error"),
        ("outer", "failed"),
        ("after", "passed"),
    ]
    assert [result.data.get("p") for result in got.results] == [None, None, "1", None]
    texts = {(artifact.result_id, artifact.content) for artifact in got.artifacts}
    assert {(got.results[1].id, b"e"), (got.results[2].id, b"f")} <= texts
    assert ("system-out" in inner) == ((got.results[2].id, b"ab") in texts)
    assert got.run.warnings == [f"line 2 begins {warning}; each was read on its own."]


def test_a_test_case_inside_the_output_of_a_suite_is_read_on_its_own(read: Callable[..., Any]) -> None:
    output = '<system-out>a<testcase name="t"><failure/></testcase>b</system-out>'
    got = read(suite(f'{output}<testcase name="u"/>'))
    assert [(result.test_id, result.result) for result in got.results] == [("t", "failed"), ("u", "passed")]
    assert got.text("s-system-out.log") == "ab"
    assert got.run.warnings == ["line 1 begins a test case inside <system-out>; each was read on its own."]


def test_suites_give_the_properties_of_the_moment_around_inner_cases(read: Callable[..., Any]) -> None:
    data = (
        b'<testsuite><property name="a" value="1"/><testcase name="outer"><testsuite><property name="b"'
        b' value="2"/><testcase name="inner"/></testsuite></testcase><property name="c" value="3"/>'
        b'<testcase name="after"/></testsuite>'
    )
    kept = [{key: result.data[key] for key in "abc" if key in result.data} for result in read(data).results]
    assert kept == [{"a": "1", "b": "2"}, {"a": "1"}, {"a": "1", "c": "3"}]


def test_facts_of_outcomes(read: Callable[..., Any]) -> None:
    (failed,) = read(case('<failure message="m" type="AssertionError">trace</failure>')).results
    assert (failed.data["failure_message"], failed.data["exception_name"]) == ("m", "AssertionError")
    (skipped,) = read(case('<skipped type="pytest.xfail" message="why"/>')).results
    assert (skipped.result, skipped.data["skip_reason"]) == ("skipped", "why")
    assert skipped.data["skip_type"] == "pytest.xfail"


def test_artifacts_once_each_and_joined(read: Callable[..., Any]) -> None:
    got = read(
        case(
            "<failure>one</failure><error message='two'/><system-out>out<![CDATA[ & more]]></system-out>"
            "<system-err> \n </system-err><system-out>again</system-out>"
        )
    )
    assert [artifact.filename for artifact in got.artifacts] == ["traceback.log", "system-out.log"]
    assert got.text("traceback.log") == "one\ntwo"
    assert got.text("system-out.log") == "out & more\nagain"
    assert {artifact.result_id for artifact in got.artifacts} == {got.results[0].id}
    assert {artifact.content_type for artifact in got.artifacts} == {"text/plain"}


def test_text_of_inner_elements_is_kept(read: Callable[..., Any]) -> None:
    got = read(
        case(
            "<rerunFailure>a<stackTrace>b</stackTrace><system-out>o</system-out>c</rerunFailure><failure>d</failure>"
        )
    )
    assert got.text("traceback.log") == "abc\nd"
    assert got.text("system-out.log") == "o"


def test_output_of_a_suite_belongs_to_the_run(read: Callable[..., Any]) -> None:
    data = b'<testsuite name="a b/c"><testcase name="t"/><system-out>hello</system-out></testsuite>'
    got = read(data)
    (artifact,) = got.artifacts
    assert (artifact.result_id, artifact.filename, artifact.content) == (
        None,
        "a_b_c-system-out.log",
        b"hello",
    )


def test_claims_are_summed_over_suites(read: Callable[..., Any]) -> None:
    data = (
        b'<testsuites><testsuite tests="2" failures="1" disabled="1"/>'
        b'<testsuite tests="1,000" xpasses="x"><testsuite tests="5"/></testsuite></testsuites>'
    )
    assert read(data).run.claimed_summary == {"tests": 1002, "failures": 1, "skips": 1}


def test_a_report_without_cases(read: Callable[..., Any]) -> None:
    got = read(b'<testsuites tests="0"/>')
    assert (got.rows, got.run.claimed_summary) == ([], {"tests": 0})


def test_namespaces_are_looked_through(read: Callable[..., Any]) -> None:
    data = (
        b'<j:testsuite xmlns:j="urn:x" name="s"><j:testcase name="t"><j:failure>f</j:failure></j:testcase>'
        b"</j:testsuite>"
    )
    got = read(data)
    assert (got.results[0].result, got.text("traceback.log")) == ("failed", "f")


def test_strange_numbers_and_elements_are_told_once(read: Callable[..., Any]) -> None:
    cases = b"".join(b'<testcase name="t" time="soon"><odd/></testcase>\n' for _ in range(1000))
    got = read(b'<testsuite timestamp="noon">\n' + cases + b"</testsuite>")
    assert got.run.warnings == [
        'line 1 has timestamp="noon", which is no time a test can have; left out.',
        'line 2 has time="soon", which is no duration; 0 was taken (1,000 in all).',
    ]
    kept = {(one.what, one.where): (one.line, one.count) for one in got.run.stored}
    assert kept["<odd>", "data.elements"] == (2, 1000)
    assert kept["time of a case", "data.attributes"] == (2, 1000)
    assert {result.duration_seconds for result in got.results} == {0.0}
