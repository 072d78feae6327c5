"""One report of every tool: which dialect it is, what its cases become, and that nothing of them is lost."""

from __future__ import annotations

import io
import json
import re
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ibutsu_tasks.ibutsu.importers.junit.dialects import DIALECTS, UNKNOWN, dialect_of

if TYPE_CHECKING:
    from collections.abc import Callable

SAMPLES = Path(__file__).parents[2] / "data" / "junit"
EXPECTED = {
    "bazel.xml": ("Bazel", {"error": 1}),
    "cypress.xml": ("Cypress", {"passed": 1, "failed": 1, "skipped": 1}),
    "go-junit-report.xml": ("go-junit-report", {"passed": 1, "failed": 1, "skipped": 1}),
    "googletest.xml": ("googletest", {"passed": 1, "failed": 1, "skipped": 2}),
    "gotestsum.xml": ("gotestsum", {"passed": 1, "failed": 1, "skipped": 1}),
    "gradle.xml": ("Gradle", {"passed": 1, "failed": 1, "skipped": 1}),
    "jest.xml": ("Jest", {"passed": 3, "failed": 1, "skipped": 1}),
    "mocha.xml": ("Mocha", {"passed": 2, "failed": 1, "skipped": 1}),
    "node.xml": ("Node.js", {"passed": 2, "failed": 1, "skipped": 1}),
    "nose.xml": ("nose", {"passed": 1, "error": 1, "skipped": 1}),
    "phpunit.xml": ("PHPUnit", {"passed": 2, "failed": 1, "error": 1, "skipped": 1}),
    "playwright.xml": ("Playwright", {"passed": 2, "failed": 1, "skipped": 1}),
    "pytest.xml": ("pytest", {"passed": 2, "failed": 1, "error": 1, "skipped": 2}),
    "robot-framework.xml": ("Robot Framework", {"passed": 1, "failed": 1, "skipped": 1}),
    "scalatest.xml": ("ScalaTest", {"passed": 1, "failed": 1, "error": 1, "skipped": 1}),
    "surefire.xml": ("Surefire", {"passed": 2, "failed": 1, "error": 1, "skipped": 1}),
    "unittest-xml-reporting.xml": (
        "unittest-xml-reporting",
        {"passed": 1, "failed": 2, "error": 1, "skipped": 2},
    ),
    "vitest.xml": ("Vitest", {"passed": 1, "failed": 1, "skipped": 1}),
    "xunit-net.xml": ("xUnit.net", {"passed": 1, "failed": 1, "skipped": 1}),
}


@pytest.fixture(params=sorted(EXPECTED))
def sample(request: pytest.FixtureRequest) -> Path:
    return SAMPLES / str(request.param)


def sample_results(read: Callable[..., Any], name: str) -> dict[str, Any]:
    got = read((SAMPLES / f"{name}.xml").read_bytes())
    return {re.split(r"\W+", result.test_id)[-1]: result for result in got.results}


def test_every_sample_is_listed_and_every_dialect_has_one() -> None:
    assert {path.name for path in SAMPLES.glob("*.xml")} == EXPECTED.keys()
    assert {dialect for dialect, _ in EXPECTED.values()} == DIALECTS.keys()


def test_dialect_and_outcomes(read: Callable[..., Any], sample: Path) -> None:
    dialect, outcomes = EXPECTED[sample.name]
    with sample.open("rb") as content:
        assert dialect_of(content, sample.name) == dialect
        assert content.tell() == 0
    got = read(sample.read_bytes())
    assert Counter(result.result for result in got.results) == outcomes
    assert got.run.warnings == []


@pytest.mark.parametrize(
    "data",
    [
        b"<testsuite/>",
        b'<testsuite name="s"><testcase name="t"/></testsuite>',
        b"<testsuite name=",
        (
            b'<testsuite name="s" tests="1" errors="0" failures="0" skipped="0" time="0">'
            b'<testcase classname="s" name="t" status="passed" time="0"/></testsuite>'
        ),
        b"<html></html>",
        b"",
    ],
)
def test_what_no_tool_is_known_by_is_plain_junit(data: bytes) -> None:
    assert dialect_of(io.BytesIO(data), "report.xml") == UNKNOWN


def test_every_word_of_a_case_is_kept(read: Callable[..., Any], sample: Path) -> None:
    """Every attribute value and every text below a case is found again in its row or its artifacts."""
    got = read(sample.read_bytes())
    cases = list(ET.parse(sample).getroot().iter("testcase"))  # noqa: S314 - our own file
    assert len(cases) == len(got.results)
    for case, result in zip(cases, got.results, strict=True):
        row = json.dumps([result.data, result.test_id], ensure_ascii=False)
        files = [artifact.content.decode() for artifact in got.artifacts if artifact.result_id == result.id]
        rest = [value for key, value in case.attrib.items() if key not in {"time", "classname"}]
        for element in case.iter():
            rest += [] if element is case else [*element.attrib.values()]
            rest += [(element.text or "").strip()]
        for value in filter(None, rest):
            assert json.dumps(value, ensure_ascii=False)[1:-1] in row or any(value in file for file in files)
        classname = case.get("classname", "")
        assert classname in row or classname.replace(".", "/").rpartition("/")[0] in row


def test_surefire_keeps_attempts_and_the_last_one_counts(read: Callable[..., Any]) -> None:
    results = sample_results(read, "surefire")
    flaky = results["isFlaky"]
    assert flaky.result == "passed"
    first, second = flaky.data["attempts"]
    assert (first["status"], first["message"], first["time"]) == ("failed", "first try fails", "0.004")
    assert first["type"] == "org.opentest4j.AssertionFailedError"
    assert first["text"].endswith("at shop.BasketTest.isFlaky(BasketTest.java:9)")
    assert (second["status"], second["message"]) == ("error", "second try breaks")
    for name, status in (("countsWrong", "failed"), ("breaks", "error")):
        (attempt,) = results[name].data["attempts"]
        assert (results[name].result, attempt["status"]) == (status, status)


def test_playwright_keeps_attempts_and_attachments(read: Callable[..., Any]) -> None:
    results = sample_results(read, "playwright")
    assert results["flaky"].result == "passed"
    assert [attempt["status"] for attempt in results["flaky"].data["attempts"]] == ["error"]
    assert results["flaky"].data["issue"] == "SHOP-7"
    assert results["wrong"].data["attachments"] == [
        "test-results/shop-basket-counts-wrong-chromium/error-context.md",
        "test-results/shop-basket-counts-wrong-chromium-retry1/error-context.md",
    ]


def test_googletest_says_by_attributes_what_did_not_run(read: Callable[..., Any]) -> None:
    disabled = sample_results(read, "googletest")["DISABLED_Rounds"]
    assert (disabled.result, disabled.data["skip_reason"]) == ("skipped", 'result="suppressed"')
    assert disabled.data["attributes"]["status"] == "notrun"
    wrong = sample_results(read, "googletest")["CountsWrong"]
    assert wrong.data["failure_message"].count("/home/shop/basket_test.cc") == 2


def test_phpunit_keeps_the_path_of_suites(read: Callable[..., Any]) -> None:
    got = read((SAMPLES / "phpunit.xml").read_bytes())
    assert [len(result.data["suites"]) for result in got.results] == [3, 4, 4, 3, 3]


def test_facts_of_suites_are_kept_once_in_the_run(read: Callable[..., Any]) -> None:
    suites = read((SAMPLES / "robot-framework.xml").read_bytes()).run.data["suites"]
    assert [suite["path"] for suite in suites] == [["Robot"], ["Robot", "Shop"], ["Robot", "Shop"]]
    assert suites[0]["attributes"] == {"timestamp": "2026-11-21T09:01:08.243539"}
    assert suites[2]["properties"] == {"Documentation": "The shop."}
