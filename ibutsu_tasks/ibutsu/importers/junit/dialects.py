"""Which tool wrote a JUnit report, recognised by what it alone writes. For people; no row depends on it."""

from __future__ import annotations

import re
from typing import IO

from ibutsu_tasks.errors import InvalidImportError
from ibutsu_tasks.ibutsu.importers.findings import Findings
from ibutsu_tasks.ibutsu.importers.junit.xml_text import XmlText
from ibutsu_tasks.ibutsu.importers.packed import unpacked
from ibutsu_tasks.ibutsu.importers.parsed import ImportLimits

UNKNOWN = "JUnit XML"
ARCHIVE = "pytest-ibutsu"

_ROOT, _SUITE, _CASE = r"\A<testsuites\b[^<>]*", r"<testsuite\b[^<>]*", r"<testcase\b[^<>]*"


def _in_order(*attributes: str) -> str:
    return "".join(rf'\s{name}="[^"<]*"' for name in attributes)


# The first that fits counts, so a special case stands before the general.
DIALECTS = {
    "pytest": rf'{_SUITE}\sname="pytest"|{_ROOT}\sname="pytest tests"',
    "nose": rf'{_SUITE}\sname="nosetests"',
    "Jest": rf'{_ROOT}\sname="jest tests"',
    "Vitest": rf'{_ROOT}\sname="vitest tests"',
    # Atomic: a root that has this name many times is not tried with each against all that follows.
    "Cypress": rf'(?>{_ROOT}\sname="Mocha Tests")'
    rf'[\s\S]*?{_SUITE}\sfile="[^"<]*(?:cypress[/\\]|\.cy\.[jt]sx?")',
    "Mocha": rf'{_ROOT}\sname="Mocha Tests"',
    # Its suites name their project as host.
    "Playwright": r"\A<testsuites"
    + _in_order("id", "name", "tests", "failures", "skipped", "errors", "time")
    + rf">\s*{_SUITE}\shostname=",
    "gotestsum": _ROOT
    + _in_order("tests", "failures", "errors", "time")
    + r'>[\s\S]*?<property name="go\.version"',
    "go-junit-report": r'<property name="go\.version"',
    "googletest": rf'{_ROOT}\sname="AllTests"|{_CASE}' + _in_order("status", "result"),
    "Bazel": _CASE + _in_order("status", "duration"),
    "PHPUnit": rf'{_CASE}\sassertions="',
    "unittest-xml-reporting": rf'{_SUITE}\sname="[^"<]*-[0-9]{{14}}"',
    "Surefire": rf'{_SUITE}\sxsi:noNamespaceSchemaLocation="[^"<]*surefire',
    # Suites are called like an assembly.
    "xUnit.net": rf'{_SUITE}\sname="[^"<]*\.(?i:dll|exe)"',
    "ScalaTest": r"\A<testsuite"
    + _in_order("errors", "failures", "hostname", "name", "tests", "time", "timestamp"),
    "Gradle": r"\A<testsuite"
    + _in_order("name", "tests", "skipped", "failures", "errors", "timestamp", "hostname", "time"),
    # Those of behave begin as it does; its cases have a status.
    "Robot Framework": r"\A<testsuite"
    + _in_order("name", "tests", "errors", "failures", "skipped", "time")
    + r"[\s\S]*?<testcase"
    + _in_order("classname", "name", "time"),
    "Node.js": rf'\A<testsuites>[\s\S]*?{_CASE}\sclassname="test"',
}
"""What is found in each tool's reports, from their first suite on."""


def dialect_of(content: IO[bytes], filename: str) -> str:
    """Tell the dialect of a JUnit report by its first 64 KiB, leaving the position at the start."""
    try:
        file = unpacked(content, filename, ImportLimits())
        text = next(XmlText(file, filename, Findings()).pieces(), b"").decode()
    except InvalidImportError:
        return UNKNOWN  # the importer says where and why
    finally:
        content.seek(0)
    report = text[max(0, text.find("<testsuite")) :]
    return next((name for name, pattern in DIALECTS.items() if re.search(pattern, report)), UNKNOWN)
