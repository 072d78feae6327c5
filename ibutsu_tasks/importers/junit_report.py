"""What the elements of a JUnit report mean, element by element as they come."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from uuid import UUID, uuid5

from ibutsu_tasks.importers.findings import Findings, shown
from ibutsu_tasks.importers.junit_case import MAX_FACT_CHARACTERS, TEXT_ELEMENTS, TEXT_PLAIN, Case, Suite
from ibutsu_tasks.importers.parsed import Content, ImportLimits, ParsedArtifact
from ibutsu_tasks.importers.spool import Spool, TextSink
from ibutsu_tasks.importers.values import count, indexed, seconds, utc_time

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from ibutsu_tasks.importers.xml_stream import XmlStream

MAX_SUITE_DEPTH = 64
MAX_ELEMENT_DEPTH = MAX_SUITE_DEPTH + 32
MAX_PROPERTIES = 10_000
MAX_PROPERTY_CHARACTERS = 64 * 1024
MAX_PROPERTIES_CHARACTERS = 1024 * 1024
"""What one test case may have of properties, its own and inherited: they are repeated in every row."""

"""Of the suites around a test case; each of its results holds them all."""
MAX_CASE_ELEMENTS = 100_000

_SUITE_ELEMENTS = frozenset({"testsuites", "testsuite"})
# Counts of a run's summary, and the attributes that state them.
_CLAIMS = {
    "tests": ("tests",),
    "failures": ("failures",),
    "errors": ("errors",),
    "skips": ("skipped", "skips", "skip", "disabled"),
    "xfailures": ("xfailures", "xfailed"),
    "xpasses": ("xpasses", "xpassed"),
}


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
        self._starts: dict[str, Callable[[str, dict[str, str]], None]] = {
            "testsuites": self._start_suite,
            "testsuite": self._start_suite,
            "testcase": self._start_case,
            "properties": _nothing,
            "property": self._start_text,
            **dict.fromkeys(TEXT_ELEMENTS, self._start_text),
        }
        self._ends: dict[str, Callable[[str], None]] = {
            "testsuites": self._end_suite,
            "testsuite": self._end_suite,
            "testcase": self._end_case,
            "property": self._end_property,
            **dict.fromkeys(TEXT_ELEMENTS, self._end_text),
        }
        stream.on_elements(self._start_root, self._end)

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
        self._root_claims = _claims(attributes)
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
        if not self._open_texts:
            sentence = f"line {self._stream.line} holds <{shown(name)}>, which is no part of JUnit; left out"
            self._findings.note("element", sentence)

    def _end(self, name: str) -> None:
        self._depth -= 1
        handler = self._ends.get(name) or self._ends.get(_local(name))
        if handler is not None:
            handler(name)

    def _start_suite(self, _name: str, attributes: dict[str, str]) -> None:
        self._refuse_inside_case("a suite")
        if len(self._suites) >= MAX_SUITE_DEPTH:
            raise self._stream.refusal(f"suites are nested deeper than {MAX_SUITE_DEPTH}")
        if len(self._suites) == 1:
            for key, number in _claims(attributes).items():
                self._suite_claims[key] = self._suite_claims.get(key, 0) + number
        if self._takes_suite_times and not self._cases:
            times = (self.start_time, self._time(attributes))
            self.start_time = min((time for time in times if time), default=None)
        self._suites.append(self._suites[-1].child(attributes))

    def _end_suite(self, _name: str) -> None:
        self._suites.pop()

    def _start_case(self, _name: str, attributes: dict[str, str]) -> None:
        self._refuse_inside_case("a test case")
        suite = self._suites[-1]
        suite.is_shared = self.root.is_shared = True
        self._cases += 1
        self._repeated_characters += suite.properties_characters
        if self._repeated_characters > self._max_repeated_characters:
            raise self._stream.refusal(
                f"the properties repeated by each test case exceed {self._max_repeated_characters:,} bytes "
                "(IBUTSU_TASKS_IMPORT_MAX_UNPACKED_BYTES)"
            )
        duration = self._duration(attributes) or 0.0
        self._case = Case(self._cases, attributes, suite, suite.properties, self.root.properties, duration)

    def _end_case(self, _name: str) -> None:
        if self._case is not None:
            self.finished.append(self._case)
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

    def _count_element(self, case: Case) -> None:
        case.elements += 1
        if case.elements > MAX_CASE_ELEMENTS:
            raise self._stream.refusal(f"one test case holds more than {MAX_CASE_ELEMENTS:,} elements")

    def _take_text(self) -> tuple[dict[str, str], TextSink]:
        taken = self._open_texts.pop()
        self._stream.on_text(self._open_texts[-1][1].add if self._open_texts else None)
        return taken

    def _end_text(self, name: str) -> None:
        attributes, sink = self._take_text()
        local = _local(name)
        element = TEXT_ELEMENTS[local]
        text = sink.content()
        if self._case is not None:
            self._case.add_outcome(element, attributes, text)
        if element.artifact and text is None and element.facts:
            text = attributes.get("message", "").encode() or None
        if element.artifact and text is not None:
            if self._case is not None:
                self._case.add_text(element.artifact, text, self.spool)
            else:
                self._finish_suite_text(element.artifact, text)

    def _finish_suite_text(self, artifact: str, text: Content) -> None:
        self._suite_texts += 1
        name = self._suites[-1].name
        filename = f"{_file_name(name)}-{artifact}" if name else artifact
        artifact_id = uuid5(self._run_id, f"{filename}\0{self._suite_texts}")
        self.finished.append(ParsedArtifact(artifact_id, None, filename, text, TEXT_PLAIN))

    def _end_property(self, _name: str) -> None:
        attributes, sink = self._take_text()
        key = attributes.get("name") or attributes.get("key")
        if not key:
            self._findings.note("property", f"line {self._stream.line} holds a property without a name")
            return
        value = attributes.get("value")
        if value is None:
            value = self._property_text(sink)
        if len(value) > MAX_PROPERTY_CHARACTERS:
            value = value[:MAX_PROPERTY_CHARACTERS]
            self._findings.note(
                "long property", f"line {self._stream.line} ends a property too long to keep; cut"
            )
        holder = self._case or self._suites[-1]
        is_full = holder.properties_characters > MAX_PROPERTIES_CHARACTERS
        if is_full or len(holder.properties or ()) >= MAX_PROPERTIES:
            sentence = "more properties apply to one test case than can be kept; the rest was left out"
            self._findings.note("properties", sentence)
            return
        holder.set_property(key, value)

    def _property_text(self, sink: TextSink) -> str:
        text = sink.content() or b""
        if isinstance(text, bytes):
            return text.decode().strip()
        self._note_long_property()
        return next(text.chunks()).decode(errors="ignore")[:MAX_FACT_CHARACTERS]

    def _note_long_property(self) -> None:
        sentence = f"line {self._stream.line} ends a property too long to keep; cut"
        self._findings.note("long property", sentence)

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


def _claims(attributes: dict[str, str]) -> dict[str, int]:
    stated = {}
    for key, names in _CLAIMS.items():
        numbers = (count(attributes[name]) for name in names if name in attributes)
        if (number := next(numbers, None)) is not None:
            stated[key] = number
    return stated


def _file_name(name: str) -> str:
    return indexed(re.sub(r"[^\w.\-]+", "_", name))
