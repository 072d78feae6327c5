"""Which tool wrote a JUnit report, told by what it alone writes. For people; no row depends on it."""

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
"""Pieces of 64 KiB: what the beginning of a report does not tell, its end does not either."""

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


@dataclass(frozen=True, slots=True)
class Dialect:
    """One dialect, how people recognise it, and how the code does."""

    name: str
    sign: str
    fits: Callable[[Traits], bool]


# The first that fits counts, so a special case stands before the general.
DIALECTS = (
    Dialect(
        "pytest",
        'a suite called "pytest", or a root called "pytest tests"',
        lambda traits: traits.title == "pytest tests" or traits.suite_says("name", "^pytest$"),
    ),
    Dialect("nose", 'a suite called "nosetests"', lambda traits: traits.suite_says("name", "^nosetests$")),
    Dialect("Jest", 'a root called "jest tests"', lambda traits: traits.title == "jest tests"),
    Dialect("Vitest", 'a root called "vitest tests"', lambda traits: traits.title == "vitest tests"),
    Dialect(
        "Cypress",
        "Mocha's, and a suite whose file is in `cypress/` or ends in `.cy.js` or `.cy.ts`",
        lambda traits: (
            traits.title == "Mocha Tests" and traits.suite_says("file", r"cypress[/\\]|\.cy\.[jt]sx?$")
        ),
    ),
    Dialect("Mocha", 'a root called "Mocha Tests"', lambda traits: traits.title == "Mocha Tests"),
    Dialect(
        "Node.js",
        'a root without attributes, and cases whose `classname` is "test" or "suite"',
        lambda traits: (
            traits.root == "testsuites"
            and not traits.root_attributes
            and {case.get("classname") for case in traits.cases} in ({"test"}, {"test", "suite"})
        ),
    ),
    Dialect(
        "Playwright",
        "the attributes of its root, in their order, and suites that name their project as `hostname`",
        lambda traits: (
            list(traits.root_attributes) == _PLAYWRIGHT
            and all("hostname" in suite for suite in traits.suites)
        ),
    ),
    Dialect(
        "gotestsum",
        "a property `go.version`, and a root with `time`",
        lambda traits: "go.version" in traits.properties and "time" in traits.root_attributes,
    ),
    Dialect("go-junit-report", "a property `go.version`", lambda traits: "go.version" in traits.properties),
    Dialect(
        "googletest",
        'a root called "AllTests", or cases with `status` and `result`',
        lambda traits: traits.title == "AllTests" or traits.case_says("status", "result"),
    ),
    Dialect(
        "Bazel", "cases with `status` and `duration`", lambda traits: traits.case_says("status", "duration")
    ),
    Dialect("PHPUnit", "cases with `assertions`", lambda traits: traits.case_says("assertions")),
    Dialect(
        "unittest-xml-reporting",
        "cases with `timestamp`, and suites whose name ends in a time of 14 digits",
        lambda traits: traits.case_says("timestamp") and traits.suite_says("name", r"-[0-9]{14}$"),
    ),
    Dialect(
        "Surefire",
        "a suite that refers to Surefire's schema",
        lambda traits: traits.suite_says("xsi:noNamespaceSchemaLocation", "surefire"),
    ),
    Dialect(
        "xUnit.net",
        "suites called like an assembly, `.dll` or `.exe`",
        lambda traits: traits.suite_says("name", r"(?i)\.(?:dll|exe)$"),
    ),
    Dialect(
        "ScalaTest",
        "the attributes of its suite, in their order, and the properties of Java",
        lambda traits: traits.begins(_SCALATEST) and "java.version" in traits.properties,
    ),
    Dialect("Gradle", "the attributes of its suite, in their order", lambda traits: traits.begins(_GRADLE)),
    Dialect(
        "Robot Framework",
        "the attributes of its suite, in their order",
        lambda traits: traits.begins(_ROBOT),
    ),
)


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
    return next((dialect.name for dialect in DIALECTS if dialect.fits(traits)), UNKNOWN)
