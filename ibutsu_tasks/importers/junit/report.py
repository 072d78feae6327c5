"""What the elements of a JUnit report mean, element by element as they come."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ibutsu_tasks.importers.findings import Findings, shown
from ibutsu_tasks.importers.junit.case import TEXT_ELEMENTS, TEXT_PLAIN, Case, Suite, TextElement
from ibutsu_tasks.importers.junit.extras import (
    MAX_FACT_CHARACTERS,
    ForeignElements,
    left_over,
    names_attachments,
)
from ibutsu_tasks.importers.junit.suites import SuiteFacts, stated_counts
from ibutsu_tasks.importers.parsed import Content, ImportLimits, ParsedArtifact
from ibutsu_tasks.importers.spool import Spool, TextSink
from ibutsu_tasks.importers.values import derived_id, indexed, seconds, utc_time

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from uuid import UUID

    from ibutsu_tasks.importers.junit.xml_stream import XmlStream

MAX_SUITE_DEPTH = 64
MAX_ELEMENT_DEPTH = MAX_SUITE_DEPTH + 32
MAX_PROPERTIES = 10_000
MAX_PROPERTY_CHARACTERS = 64 * 1024
MAX_PROPERTIES_CHARACTERS = 1024 * 1024
"""What one test case may have of properties, its own and inherited: they are repeated in every row."""

"""Of the suites around a test case; each of its results holds them all."""
MAX_CASE_ELEMENTS = 100_000

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
        self.suite_facts = SuiteFacts()
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
        self._keep_suite_facts(self.suite_facts.add_root(self.root.path, attributes))
        self._root_claims = stated_counts(attributes)
        self.start_time = self._time(attributes)
        self._takes_suite_times = self.start_time is None
        self.duration_seconds = self._duration(attributes)

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
                self._keep_element(case, name, attributes, None)
            return
        self._start_text(name, attributes)
        self._foreign.begin(self._depth, name, attributes, self._open_texts[-1][1], self._stream.line)

    def _end_foreign(self, case: Case) -> None:
        path, element = self._foreign.end()
        _, sink = self._take_text()
        text = sink.content()
        if element.is_leaf or element.attributes or text is not None:
            self._keep_element(case, path, element.attributes, text, element.line)

    def _keep_element(
        self, case: Case, path: str, attributes: dict[str, str], text: Content | None, line: int | None = None
    ) -> None:
        case.made_extras().add_element(path, attributes, text)
        self._keep(f"<{path}>", "data.elements", line)

    def _keep(self, what: str, where: str, line: int | None = None) -> None:
        if not self._findings.counts_kept(what, where):
            self._findings.keep(what, where, line or self._stream.line)

    def _keep_suite_facts(self, facts: dict[str, str], what: str = "of a suite") -> None:
        for key in facts:
            self._keep(f"{key} {what}", "run: data.suites")
        if self.suite_facts.is_cut and not self._findings.knows("suites"):
            sentence = (
                f"the suites say more than the run's data holds; from line {self._stream.line} left out"
            )
            self._findings.note("suites", sentence)

    def _loose_text(self, text: str) -> None:
        if text.isspace():
            return
        if self._case is not None:
            self._keep_element(self._case, "text()", {}, text.encode())
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
            times = (self.start_time, self._time(attributes))
            self.start_time = min((time for time in times if time), default=None)
        self._suites.append(self._suites[-1].child(attributes))
        self._keep_suite_facts(self.suite_facts.add_suite(self._suites[-1].path, attributes))

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
        duration = self._duration(attributes)
        self._case = Case(
            self._cases, attributes, suite, suite.properties, self.root.properties, duration or 0.0
        )
        left = left_over(attributes, suite.file)
        if duration is None and attributes.get("time"):
            left["time"] = attributes["time"]
        if left:
            self._keep_attributes(self._case, left)

    def _keep_attributes(self, case: Case, attributes: dict[str, str]) -> None:
        case.made_extras().add_attributes(attributes)
        for name in attributes:
            self._keep(f"{name} of a case", "data.attributes")

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
            if attributes or element.attempt or names_attachments(text):
                self._keep_extras(self._case, local, element, attributes, text)
        if element.artifact and element.facts:
            text = self._with_message(attributes.get("message", ""), text)
        if element.artifact and text is not None:
            if self._case is not None:
                self._case.add_text(element.artifact, text, self.spool)
            else:
                self._finish_suite_text(element.artifact, text)

    def _keep_extras(
        self, case: Case, name: str, element: TextElement, attributes: dict[str, str], text: Content | None
    ) -> None:
        if element.attempt:
            case.made_extras().add_attempt(element.attempt, attributes, text)
            self._keep(f"<{name}>", "data.attempts", self._attempt_line)
        elif attributes:
            shown_elsewhere = {attribute for attribute, _ in element.facts}
            if left := {key: value for key, value in attributes.items() if key not in shown_elsewhere}:
                self._keep_element(case, name, left, None)
        if isinstance(text, bytes) and names_attachments(text):
            case.made_extras().add_attachments(text)
            self._keep("[[ATTACHMENT|", "data.attachments")

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
        key = attributes.get("name") or attributes.get("key")
        if not key:
            self._findings.note("property", f"line {self._stream.line} holds a property without a name")
            if self._case is not None:
                self._keep_element(self._case, "property", attributes, sink.content())
            return
        value = attributes.get("value")
        if value is None:
            value = self._property_text(sink)
        elif self._case is not None and (text := sink.content()):
            self._keep_element(self._case, "property", {"name": key}, text)
        if len(value) > MAX_PROPERTY_CHARACTERS:
            value = value[:MAX_PROPERTY_CHARACTERS]
            self._note_long_property()
        self._set_property(key, value)

    def _set_property(self, key: str, value: str) -> None:
        suite = self._suites[-1]
        holder = self._case or suite
        is_full = holder.properties_characters > MAX_PROPERTIES_CHARACTERS
        if is_full or len(holder.properties or ()) >= MAX_PROPERTIES:
            sentence = "more properties apply to one test case than can be kept; the rest was left out"
            self._findings.note("properties", f"line {self._stream.line}: {sentence}")
        elif self._case is not None:
            self._set_case_property(self._case, key, value)
        else:
            suite.set_property(key, value)
            if suite.has_cases and len(self._suites) > 1:
                kept = self.suite_facts.add_late_property(suite.path, key, value)
                self._keep_suite_facts(kept, "behind the cases of a suite")

    def _note_long_property(self) -> None:
        sentence = f"line {self._stream.line} ends a property too long to keep; cut"
        self._findings.note("long property", sentence)

    def _set_case_property(self, case: Case, key: str, value: str) -> None:
        if case.properties and case.properties.get(key, value) != value:
            self._keep_element(case, "property", {"name": key, "value": case.properties[key]}, None)
        case.set_property(key, value)

    def _property_text(self, sink: TextSink) -> str:
        text = sink.content() or b""
        if isinstance(text, bytes):
            return text.decode().strip()
        self._note_long_property()
        return next(text.chunks()).decode(errors="ignore")[:MAX_FACT_CHARACTERS]

    def _duration(self, attributes: dict[str, str]) -> float | None:
        text = attributes.get("time")
        if not text:
            return None
        duration = seconds(text)
        if duration is None:
            sentence = f'line {self._stream.line} has time="{shown(text)}", which is no duration; 0 was taken'
            self._findings.note("time", sentence)
        return duration

    def _time(self, attributes: dict[str, str]) -> datetime | None:
        text = attributes.get("timestamp")
        if not text:
            return None
        time = utc_time(text)
        if time is None:
            sentence = f'line {self._stream.line} has timestamp="{shown(text)}", which is no time; left out'
            self._findings.note("timestamp", sentence)
        return time


def _nothing(_name: str, _attributes: dict[str, str]) -> None:
    """Properties stand in a list of their own, which itself means nothing."""


def _local(name: str) -> str:
    return name.rpartition(":")[2]


def _file_name(name: str) -> str:
    return indexed(re.sub(r"[^\w.\-]+", "_", name))
