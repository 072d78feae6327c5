"""What no column and no artifact takes is stored in data, within bounds, and told with its line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import quoteattr

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ibutsu_tasks.ibutsu.importers.junit.extras import MAX_EXTRA_CHARACTERS, MAX_EXTRAS, MAX_FACT_CHARACTERS

if TYPE_CHECKING:
    from collections.abc import Callable


def case(inner: str = "", attributes: str = 'name="t"') -> bytes:
    return f'<testsuite name="s">\n<testcase {attributes}>{inner}</testcase></testsuite>'.encode()


def kept(got: Any) -> dict[tuple[str, str], tuple[int, int]]:
    return {(one.what, one.where): (one.line, one.count) for one in got.run.stored}


def test_unknown_attributes(read: Callable[..., Any]) -> None:
    got = read(case(attributes='name="t" time="soon" timestamp="2026-11-21T09:00:00" owner="me"'))
    assert got.results[0].data["attributes"] == {
        "time": "soon",
        "timestamp": "2026-11-21T09:00:00",
        "owner": "me",
    }
    assert kept(got)["owner of a case", "data.attributes"] == (2, 1)


def test_names_are_kept_whole_when_columns_show_a_part(read: Callable[..., Any]) -> None:
    (result,) = read(case(attributes='name="costs 1.50" classname="a.b.C" file="x.py"')).results
    assert (result.test_id, result.data["fspath"]) == ("C.50", "x.py")
    assert result.data["attributes"] == {"name": "costs 1.50", "classname": "a.b.C"}
    long = "n" * 5000
    (result,) = read(case(attributes=f'name="{long}"')).results
    assert len(result.test_id.encode()) <= 1200
    assert result.data["attributes"] == {"name": long}


def test_unknown_elements_with_paths(read: Callable[..., Any]) -> None:
    inner = "<a x='1'>one<b>two</b>three</a>\n<c/><d><e f='g'/></d>loose<failure code='7'>no</failure>"
    got = read(case(inner))
    (result,) = got.results
    assert result.result == "failed"
    assert result.data["elements"] == [
        {"element": "a/b", "text": "two"},
        {"element": "a", "attributes": {"x": "1"}, "text": "onethree"},
        {"element": "c"},
        {"element": "d/e", "attributes": {"f": "g"}},
        {"element": "text()", "text": "loose"},
        {"element": "failure", "attributes": {"code": "7"}},
    ]
    assert got.text("traceback.log") == "no"
    assert kept(got)["<c>", "data.elements"] == (3, 1)
    assert got.run.warnings == []


def test_text_and_elements_outside_of_cases_are_told(read: Callable[..., Any]) -> None:
    got = read(b"<testsuite>\nwords<odd/>\n<testcase name='t'/></testsuite>")
    assert got.run.warnings == [
        "line 2 holds text outside of any test case; left out.",
        "line 2 holds <odd>, which is no part of JUnit; left out.",
    ]


def test_properties_of_a_case_that_repeat_or_say_more(read: Callable[..., Any]) -> None:
    inner = (
        '<property name="tag" value="a"/><property name="tag" value="b"/>'
        '<property name="k" value="v">text</property><property value="lost"/>'
    )
    (result,) = read(case(inner)).results
    assert (result.data["tag"], result.data["k"]) == (["a", "b"], "v")
    assert result.data["elements"] == [
        {"element": "property", "attributes": {"name": "k"}, "text": "text"},
        {"element": "property", "attributes": {"value": "lost"}},
    ]


def test_a_property_of_the_same_name_stays(read: Callable[..., Any]) -> None:
    data = case('<property name="attributes" value="mine"/>', 'name="t" odd="1"')
    (result,) = read(data).results
    assert (result.data["attributes"], result.data["attributes_"]) == ("mine", {"odd": "1"})
    data = b'<testsuite timestamp="2026-11-21T09:00:00"><property name="suites" value="mine"/></testsuite>'
    run_data = read(data).run.data
    assert (run_data["suites"], len(run_data["suites_"])) == ("mine", 1)


@pytest.mark.parametrize(
    ("attributes", "inner", "status", "reason"),
    [
        ('status="notrun"', "", "skipped", 'status="notrun"'),
        ('status="Disabled"', "", "skipped", 'status="Disabled"'),
        ('status="notrun"', '<skipped message="why"/>', "skipped", "why"),
        ('status="notrun"', "<failure/>", "failed", None),
        ('status="run" result="completed"', "", "passed", None),
    ],
)
def test_status_attributes(
    read: Callable[..., Any], attributes: str, inner: str, status: str, reason: str | None
) -> None:
    (result,) = read(case(inner, f'name="t" {attributes}')).results
    assert (result.result, result.data.get("skip_reason")) == (status, reason)


def test_long_messages_stand_in_the_artifact(read: Callable[..., Any]) -> None:
    message = "m" * (MAX_FACT_CHARACTERS + 1)
    got = read(case(f'<failure message="{message}">text</failure>'))
    assert got.results[0].data["failure_message"] == message[:-1]
    assert got.text("traceback.log") == f"{message}\ntext"


def test_counts_of_disabled_and_skipped_add_up(read: Callable[..., Any]) -> None:
    claimed = read(b'<testsuites tests="9" skipped="2" disabled="3"/>').run.claimed_summary
    assert claimed == {"tests": 9, "skips": 5}


def test_extras_are_bounded_and_the_cut_is_told(read: Callable[..., Any]) -> None:
    for inner in (
        "<odd/>" * (MAX_EXTRAS + 1),
        f"<odd>{'o' * 9_000}</odd>" * 20,
        "<odd>" + "o" * 20_000 + "</odd>",
    ):
        got = read(case(inner))
        (result,) = got.results
        assert len(result.data["elements"]) <= MAX_EXTRAS
        assert len(json.dumps(result.data)) < MAX_EXTRA_CHARACTERS + 50 * MAX_EXTRAS
        assert got.run.warnings == ["line 2 ends a test case that says more than data holds; cut off."]


def test_facts_of_suites_are_bounded_and_the_cut_is_told(read: Callable[..., Any]) -> None:
    suites = b'<testsuite name="s" id="1"/>\n' * 1_001
    got = read(b"<testsuites>\n" + suites + b"</testsuites>")
    assert len(got.run.data["suites"]) == 1_000
    assert got.run.warnings == ["line 1002 says more of a suite than the run's data holds; left out."]


NAMES = st.from_regex(r"\A[a-z]{1,8}\Z")
VALUES = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=30)


@given(attributes=st.dictionaries(NAMES, VALUES, max_size=5), elements=st.lists(st.tuples(NAMES, VALUES)))
def test_whatever_a_case_holds_is_found_again(
    read: Callable[..., Any], attributes: dict[str, str], elements: list[tuple[str, str]]
) -> None:
    words = "".join(f" {key}={quoteattr(value)}" for key, value in attributes.items())
    inner = "".join(f"<{name}x y={quoteattr(value)}/>" for name, value in elements)
    (result,) = read(case(inner, words)).results
    row = json.dumps([result.test_id, result.data, result.duration_seconds], ensure_ascii=False)
    for key, value in attributes.items():
        assert key == "time" or json.dumps(value, ensure_ascii=False)[1:-1] in row
    assert [(one["element"], one["attributes"]["y"]) for one in result.data.get("elements", [])] == [
        (f"{name}x", value) for name, value in elements
    ]


def test_files_that_the_output_of_suites_names_are_listed_in_the_run(read: Callable[..., Any]) -> None:
    case = '<testcase name="a"/>'
    inner = f'<testsuite name="in">{case}<system-err>[[ATTACHMENT|c.png]]</system-err></testsuite>'
    outer = f"<system-out>x\n[[ATTACHMENT|a [1].png]]\n[[ATTACHMENT|b.png]]</system-out>{inner}"
    # What comes before the cases of a suite that states an error may tell of that, and then does not.
    late = (
        f'<testsuite name="late" errors="1"><system-out>[[ATTACHMENT|d.png]]</system-out>{case}</testsuite>'
    )
    got = read(f'<testsuites><testsuite name="out">{outer}</testsuite>{late}</testsuites>'.encode())
    listed = {tuple(one["path"]): one["attachments"] for one in got.run.data["suites"]}
    assert listed == {
        ("out",): ["a [1].png", "b.png"],
        ("out", "in"): ["c.png"],
        ("late",): ["d.png"],
    }


def test_files_that_suites_name_are_listed_within_bounds(read: Callable[..., Any]) -> None:
    output = "<system-out>" + "[[ATTACHMENT|a.png]]\n" * 100_000 + "</system-out>"
    got = read(f'<testsuites><testsuite name="s">{output}</testsuite></testsuites>'.encode())
    assert len(str(got.run.data)) < 200_000
    assert any("says more of a suite than the run's data holds" in one for one in got.run.warnings)
