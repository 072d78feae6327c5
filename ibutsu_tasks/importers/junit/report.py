"""What the elements of a JUnit report mean, element by element as they come."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ibutsu_tasks.importers.findings import Findings, shown
from ibutsu_tasks.importers.junit.case import TEXT_ELEMENTS, TEXT_PLAIN, Case, Suite
from ibutsu_tasks.importers.junit.extras import (
    MAX_FACT_CHARACTERS,
    ForeignElements,
    left_over,
)
from ibutsu_tasks.importers.junit.properties import Properties
from ibutsu_tasks.importers.junit.remainder import Remainder
from ibutsu_tasks.importers.junit.stated import StatedValues, stated_counts
from ibutsu_tasks.importers.parsed import Content, ImportLimits, ParsedArtifact
from ibutsu_tasks.importers.spool import Spool, TextSink
from ibutsu_tasks.importers.values import derived_id, indexed

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from uuid import UUID

    from ibutsu_tasks.importers.junit.suites import SuiteFacts
    from ibutsu_tasks.importers.junit.xml_stream import XmlStream

MAX_SUITE_DEPTH = 64
MAX_ELEMENT_DEPTH = MAX_SUITE_DEPTH + 32
MAX_CASE_ELEMENTS = 100_000
"""Properties, texts and foreign elements of one test case."""

_SUITE_ELEMENTS = frozenset({"testsuites", "testsuite"})


class JUnitReport:
    """Handlers of the elements. What is complete is put into `finished`, for the reader to take out."""

    def __init__(self, stream: XmlStream, run_id: UUID, limits: ImportLimits, findings: Findings) -> None:
        self.spool = Spool()
        self.root = Suite()
        self.start_time: datetime | None = None
        self.duration_seconds: float | None = None
        self.finished: list[Case | ParsedArtifact] = []
        self._stream = stream
        self._run_id = run_id
        self._max_repeated_characters = limits.unpacked_bytes
        self._findings = findings
        self._root_claims: dict[str, int] = {}
        self._suite_claims: dict[str, int] = {}
        self._depth = 0
        self._suites: list[Suite] = []
        self._case: Case | None = None
        self._cases = 0
        self._suite_texts = 0
        self._repeated_characters = 0
        self._open_texts: list[tuple[dict[str, str], TextSink]] = []
        self._foreign = ForeignElements()
        self._attempt_line = 0
        self._stated = StatedValues(stream, findings)
        self._remainder = Remainder(stream, findings)
        self._properties = Properties(stream, findings, self._remainder)
        self._starts: dict[str, Callable[[str, dict[str, str]], None]] = {
            "testsuites": self._start_suite,
            "testsuite": self._start_suite,
            "testcase": self._start_case,
            "properties": _nothing,
            "property": self._start_text,
            **dict.fromkeys(TEXT_ELEMENTS, self._start_text),
            **{name: self._start_attempt for name, element in TEXT_ELEMENTS.items() if element.attempt},
        }
        self._ends: dict[str, Callable[[str], None]] = {
            "testsuites": self._end_suite,
            "testsuite": self._end_suite,
            "testcase": self._end_case,
            "property": self._end_property,
            **dict.fromkeys(TEXT_ELEMENTS, self._end_text),
        }
        stream.on_elements(self._start_root, self._end)
        stream.on_text(self._loose_text)

    @property
    def suite_facts(self) -> SuiteFacts:
        """What the suites say, for the run's data."""
        return self._remainder.suite_facts

    @property
    def claimed_summary(self) -> dict[str, int]:
        """The counts the root states about itself, or else the sums of what its suites state."""
        return {**self._suite_claims, **self._root_claims}

    def _start_root(self, name: str, attributes: dict[str, str]) -> None:
        local = _local(name)
        if local not in _SUITE_ELEMENTS:
            raise self._stream.refusal(
                f"the root element is <{shown(name)}>, a JUnit report begins with <testsuites> or <testsuite>"
            )
        self._stream.on_elements(self._start, self._end)
        self._depth = 1
        if local == "testsuite":
            self.root = self.root.child(attributes)
        self._suites.append(self.root)
        self._remainder.mention_suite_facts(self.suite_facts.add_root(self.root.path, attributes))
        self._root_claims = stated_counts(attributes)
        self.start_time = self._stated.time(attributes)
        self._takes_suite_times = self.start_time is None
        self.duration_seconds = self._stated.duration_seconds(attributes)

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        handler = self._starts.get(name) or self._starts.get(_local(name))
        if handler is not None:
            handler(name, attributes)
            return
        if self._depth > MAX_ELEMENT_DEPTH:
            raise self._stream.refusal(f"elements are nested deeper than {MAX_ELEMENT_DEPTH}")
        if self._case is not None:
            self._start_foreign(self._case, _local(name), attributes)
        elif not self._open_texts:
            sentence = f"line {self._stream.line} holds <{shown(name)}>, which is no part of JUnit; left out"
            self._findings.note("element", sentence)

    def _end(self, name: str) -> None:
        self._depth -= 1
        handler = self._ends.get(name) or self._ends.get(_local(name))
        if handler is not None:
            handler(name)
        elif self._case is not None and self._foreign.ends_at(self._depth + 1):
            self._end_foreign(self._case)

    def _start_foreign(self, case: Case, name: str, attributes: dict[str, str]) -> None:
        if self._open_texts and not self._foreign.owns(self._open_texts[-1][1]):
            # Its text belongs to the element around it, as <stackTrace>'s does.
            if attributes:
                self._remainder.add_element(case, name, attributes, None)
            return
        self._start_text(name, attributes)
        self._foreign.begin(self._depth, name, attributes, self._open_texts[-1][1], self._stream.line)

    def _end_foreign(self, case: Case) -> None:
        path, element = self._foreign.end()
        _, sink = self._take_text()
        text = sink.content()
        if element.is_leaf or element.attributes or text is not None:
            self._remainder.add_element(case, path, element.attributes, text, element.line)

    def _loose_text(self, text: str) -> None:
        if text.isspace():
            return
        if self._case is not None:
            self._remainder.add_element(self._case, "text()", {}, text.encode())
        else:
            sentence = f"line {self._stream.line} holds text outside of any test case; left out"
            self._findings.note("text", sentence)

    def _start_suite(self, _name: str, attributes: dict[str, str]) -> None:
        self._refuse_inside_case("a suite")
        if len(self._suites) >= MAX_SUITE_DEPTH:
            raise self._stream.refusal(f"suites are nested deeper than {MAX_SUITE_DEPTH}")
        if len(self._suites) == 1:
            for key, number in stated_counts(attributes).items():
                self._suite_claims[key] = self._suite_claims.get(key, 0) + number
        if self._takes_suite_times and not self._cases:
            times = (self.start_time, self._stated.time(attributes))
            self.start_time = min((time for time in times if time), default=None)
        self._suites.append(self._suites[-1].child(attributes))
        self._remainder.mention_suite_facts(self.suite_facts.add_suite(self._suites[-1].path, attributes))

    def _end_suite(self, _name: str) -> None:
        self._suites.pop()

    def _start_case(self, _name: str, attributes: dict[str, str]) -> None:
        self._refuse_inside_case("a test case")
        suite = self._suites[-1]
        suite.has_cases = suite.is_shared = self.root.is_shared = True
        self._cases += 1
        self._repeated_characters += suite.properties_characters
        if self._repeated_characters > self._max_repeated_characters:
            raise self._stream.refusal(
                f"the properties repeated by each test case exceed {self._max_repeated_characters:,} bytes "
                "(IBUTSU_TASKS_IMPORT_MAX_UNPACKED_BYTES)"
            )
        duration = self._stated.duration_seconds(attributes)
        self._case = Case(
            self._cases, attributes, suite, suite.properties, self.root.properties, duration or 0.0
        )
        left = left_over(attributes, suite.file)
        if duration is None and attributes.get("time"):
            left["time"] = attributes["time"]
        if left:
            self._remainder.add_attributes(self._case, left)

    def _end_case(self, _name: str) -> None:
        case = self._case
        if case is None:
            return
        if case.extras is not None and case.extras.is_cut:
            sentence = f"line {self._stream.line} ends a test case that says more than data holds; cut"
            self._findings.note("extras", sentence)
        self.finished.append(case)
        self._case = None

    def _refuse_inside_case(self, what: str) -> None:
        if self._case is not None or self._open_texts:
            raise self._stream.refusal(f"{what} begins inside a test case")

    def _start_text(self, _name: str, attributes: dict[str, str]) -> None:
        if self._depth > MAX_ELEMENT_DEPTH:
            raise self._stream.refusal(f"elements are nested deeper than {MAX_ELEMENT_DEPTH}")
        if self._case is not None:
            self._count_element(self._case)
        sink = TextSink(self.spool)
        self._open_texts.append((attributes, sink))
        self._stream.on_text(sink.add)

    def _start_attempt(self, name: str, attributes: dict[str, str]) -> None:
        self._attempt_line = self._stream.line
        self._start_text(name, attributes)

    def _count_element(self, case: Case) -> None:
        case.elements += 1
        if case.elements > MAX_CASE_ELEMENTS:
            raise self._stream.refusal(f"one test case holds more than {MAX_CASE_ELEMENTS:,} elements")

    def _take_text(self) -> tuple[dict[str, str], TextSink]:
        taken = self._open_texts.pop()
        self._stream.on_text(self._open_texts[-1][1].add if self._open_texts else self._loose_text)
        return taken

    def _end_text(self, name: str) -> None:
        attributes, sink = self._take_text()
        local = _local(name)
        element = TEXT_ELEMENTS[local]
        text = sink.content()
        if self._case is not None:
            self._case.add_outcome(element, attributes, text)
            self._remainder.add_of_text(self._case, local, attributes, text, self._attempt_line)
        if element.artifact and element.facts:
            text = self._with_message(attributes.get("message", ""), text)
        if element.artifact and text is not None:
            if self._case is not None:
                self._case.add_text(element.artifact, text, self.spool)
            else:
                self._finish_suite_text(element.artifact, text)

    def _with_message(self, message: str, text: Content | None) -> Content | None:
        """Give the text, or the message when there is none, or both when data has no place for it."""
        if text is None:
            return message.encode() or None
        if len(message) <= MAX_FACT_CHARACTERS:
            return text
        return self.spool.join([message.encode() + b"\n", text])

    def _finish_suite_text(self, artifact: str, text: Content) -> None:
        self._suite_texts += 1
        name = self._suites[-1].name
        filename = f"{_file_name(name)}-{artifact}" if name else artifact
        artifact_id = derived_id(self._run_id, f"{filename}\0{self._suite_texts}")
        self.finished.append(ParsedArtifact(artifact_id, None, filename, text, TEXT_PLAIN))

    def _end_property(self, _name: str) -> None:
        attributes, sink = self._take_text()
        self._properties.add(self._suites, self._case, attributes, sink)


def _nothing(_name: str, _attributes: dict[str, str]) -> None:
    """Properties stand in a list of their own, which itself means nothing."""


def _local(name: str) -> str:
    return name.rpartition(":")[2]


def _file_name(name: str) -> str:
    return indexed(re.sub(r"[^\w.\-]+", "_", name))
