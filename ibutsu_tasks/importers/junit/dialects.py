"""Which tool wrote a JUnit report, recognised by what it alone writes. For people; no row depends on it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING

from ibutsu_tasks.errors import InvalidImportError
from ibutsu_tasks.importers.findings import Findings
from ibutsu_tasks.importers.junit.xml_stream import XmlStream

if TYPE_CHECKING:
    from collections.abc import Callable

    from ibutsu_tasks.importers.parsed import ImportLimits

UNKNOWN = "JUnit XML"
ARCHIVE = "pytest-ibutsu"
MAX_ELEMENTS = 1_000
MAX_FEEDS = 16
"""Pieces of 64 KiB: what the beginning of a report does not show, its end does not either."""

# Attributes in the order they are written in.
_GRADLE = ["name", "tests", "skipped", "failures", "errors", "timestamp", "hostname", "time"]
_SCALATEST = ["errors", "failures", "hostname", "name", "tests", "time", "timestamp"]
_ROBOT = ["name", "tests", "errors", "failures", "skipped", "time"]
_PLAYWRIGHT = ["id", "name", "tests", "failures", "skipped", "errors", "time"]


@dataclass(slots=True)
class Traits:
    """The beginning of a report: its root, suites and cases, names of properties. Attributes as written."""

    root: str = ""
    root_attributes: dict[str, str] = field(default_factory=dict)
    suites: list[dict[str, str]] = field(default_factory=list)
    cases: list[dict[str, str]] = field(default_factory=list)
    properties: set[str] = field(default_factory=set)
    elements: int = 0

    def take(self, name: str, attributes: dict[str, str]) -> None:
        """Take the next element."""
        self.elements += 1
        if not self.root:
            self.root, self.root_attributes = name, attributes
        if name == "testsuite":
            self.suites.append(attributes)
        elif name == "testcase":
            self.cases.append(attributes)
        elif name == "property":
            self.properties.add(attributes.get("name", ""))

    @property
    def title(self) -> str:
        """The name of the root element."""
        return self.root_attributes.get("name", "")

    def suite_says(self, attribute: str, pattern: str) -> bool:
        """Tell whether a suite has an attribute in which the pattern is found."""
        return any(re.search(pattern, suite.get(attribute, "")) for suite in self.suites)

    def case_says(self, *attributes: str) -> bool:
        """Tell whether a case has all of the attributes."""
        return any(case.keys() >= set(attributes) for case in self.cases)

    def begins(self, attributes: list[str]) -> bool:
        """Tell whether the root is a suite with these attributes first, in this order."""
        return self.root == "testsuite" and list(self.root_attributes)[: len(attributes)] == attributes


# The first that fits counts, so a special case stands before the general.
DIALECTS: dict[str, Callable[[Traits], bool]] = {
    "pytest": lambda report: report.title == "pytest tests" or report.suite_says("name", "^pytest$"),
    "nose": lambda report: report.suite_says("name", "^nosetests$"),
    "Jest": lambda report: report.title == "jest tests",
    "Vitest": lambda report: report.title == "vitest tests",
    "Cypress": lambda report: (
        report.title == "Mocha Tests" and report.suite_says("file", r"cypress[/\\]|\.cy\.[jt]sx?$")
    ),
    "Mocha": lambda report: report.title == "Mocha Tests",
    "Node.js": lambda report: (
        report.root == "testsuites"
        and not report.root_attributes
        and {case.get("classname") for case in report.cases} in ({"test"}, {"test", "suite"})
    ),
    # Its suites name their project as host.
    "Playwright": lambda report: (
        list(report.root_attributes) == _PLAYWRIGHT and all("hostname" in suite for suite in report.suites)
    ),
    "gotestsum": lambda report: "go.version" in report.properties and "time" in report.root_attributes,
    "go-junit-report": lambda report: "go.version" in report.properties,
    "googletest": lambda report: report.title == "AllTests" or report.case_says("status", "result"),
    "Bazel": lambda report: report.case_says("status", "duration"),
    "PHPUnit": lambda report: report.case_says("assertions"),
    "unittest-xml-reporting": lambda report: (
        report.case_says("timestamp") and report.suite_says("name", r"-[0-9]{14}$")
    ),
    "Surefire": lambda report: report.suite_says("xsi:noNamespaceSchemaLocation", "surefire"),
    # Suites are called like an assembly.
    "xUnit.net": lambda report: report.suite_says("name", r"(?i)\.(?:dll|exe)$"),
    "ScalaTest": lambda report: report.begins(_SCALATEST) and "java.version" in report.properties,
    "Gradle": lambda report: report.begins(_GRADLE),
    "Robot Framework": lambda report: report.begins(_ROBOT),
}
"""How each tool's reports are recognised."""


def dialect_of(content: IO[bytes], filename: str, limits: ImportLimits) -> str:
    """Tell the dialect of a JUnit report by its beginning, leaving the position at the start."""
    traits = Traits()
    stream = XmlStream(content, filename, limits, Findings())
    stream.on_elements(traits.take, lambda _name: None)
    try:
        for _ in range(MAX_FEEDS):
            if traits.elements >= MAX_ELEMENTS or not stream.feed():
                break
    except InvalidImportError:
        pass  # the importer says where and why
    content.seek(0)
    return next((name for name, fits in DIALECTS.items() if fits(traits)), UNKNOWN)
