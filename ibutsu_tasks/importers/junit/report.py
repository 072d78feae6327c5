"""What happens as each element of a JUnit report begins and ends."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ibutsu_tasks.importers.findings import shown
from ibutsu_tasks.importers.junit.case import TEXT_ELEMENTS, TEXT_PLAIN, Case, Suite
from ibutsu_tasks.importers.junit.extras import MAX_FACT_CHARACTERS, left_over
from ibutsu_tasks.importers.junit.properties import Properties
from ibutsu_tasks.importers.junit.remainder import Remainder
from ibutsu_tasks.importers.junit.stated import stated_counts, stated_duration, stated_time
from ibutsu_tasks.importers.parsed import Content, ImportLimits, ParsedArtifact
from ibutsu_tasks.importers.spool import Spool, TextSink
from ibutsu_tasks.importers.values import derived_id, indexed

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from uuid import UUID

    from ibutsu_tasks.importers.junit.xml_stream import XmlStream

MAX_SUITE_DEPTH = 64
MAX_ELEMENT_DEPTH = MAX_SUITE_DEPTH + 32
MAX_CASE_ELEMENTS = 100_000
"""Properties, texts and foreign elements of one test case."""

_SUITE_ELEMENTS = frozenset({"testsuites", "testsuite"})


@dataclass(slots=True)
class OpenElement:
    """An element whose text is being gathered."""

    name: str
    """Of a foreign element its path, as it stands in data."""
    attributes: dict[str, str]
    sink: TextSink
    line: int = 0
    """Known of earlier attempts and of foreign elements, which JUnit does not know."""
    foreign_depth: int = 0
    """The depth of a foreign element; 0 for any other."""
    is_leaf: bool = True
    """Whether no foreign element began in it."""


class JUnitReport:
    """Handlers of the elements. What is complete is put into `finished`, for the reader to take out."""

    def __init__(self, stream: XmlStream, run_id: UUID, limits: ImportLimits) -> None:
        self.spool = Spool()
        self.root = Suite()
        self.start_time: datetime | None = None
        self.duration_seconds: float | None = None
        self.finished: list[Case | ParsedArtifact] = []
        self._stream = stream
        self._run_id = run_id
        self._max_repeated_characters = limits.unpacked_bytes
        self._root_claims: dict[str, int] = {}
        self._suite_claims: dict[str, int] = {}
        self._depth = 0
        self._suites: list[Suite] = []
        self._case: Case | None = None
        self._cases = 0
        self._suite_texts = 0
        self._repeated_characters = 0
        self._open: list[OpenElement] = []
        self.remainder = Remainder(stream)
        self._properties = Properties(stream, self.remainder)
        self._starts: dict[str, Callable[[str, dict[str, str]], None]] = {
            "testsuites": self._start_suite,
            "testsuite": self._start_suite,
            "testcase": self._start_case,
            # A list, which itself means nothing.
            "properties": lambda _name, _attributes: None,
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
            self.root = self._child(self.root, attributes)
        self._suites.append(self.root)
        self.remainder.add_suite(self.root.path, attributes, is_root=True)
        self._root_claims = stated_counts(attributes)
        self.start_time = stated_time(self._stream, attributes)
        self._takes_suite_times = self.start_time is None
        self.duration_seconds = stated_duration(self._stream, attributes)

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
        elif not self._open:
            self._stream.note("element", f"holds <{shown(name)}>, which is no part of JUnit; left out")

    def _end(self, name: str) -> None:
        self._depth -= 1
        handler = self._ends.get(name) or self._ends.get(_local(name))
        if handler is not None:
            handler(name)
        elif self._case is not None and self._open and self._open[-1].foreign_depth == self._depth + 1:
            self._end_foreign(self._case)

    def _start_foreign(self, case: Case, name: str, attributes: dict[str, str]) -> None:
        if self._open and not self._open[-1].foreign_depth:
            # Its text belongs to the element around it, as <stackTrace>'s does.
            if attributes:
                self.remainder.add_element(case, name, attributes, None)
            return
        if self._open:
            self._open[-1].is_leaf = False
            # One character beyond the limit tells that it was cut.
            name = f"{self._open[-1].name}/{name}"[: MAX_FACT_CHARACTERS + 1]
        self._start_text(name, attributes)
        self._open[-1].foreign_depth = self._depth
        self._open[-1].line = self._stream.line

    def _end_foreign(self, case: Case) -> None:
        element = self._take_text()
        text = element.sink.content()
        if element.is_leaf or element.attributes or text is not None:
            self.remainder.add_element(case, element.name, element.attributes, text, element.line)

    def _loose_text(self, text: str) -> None:
        if text.isspace():
            return
        if self._case is not None:
            self.remainder.add_element(self._case, "text()", {}, text.encode())
        else:
            self._stream.note("text", "holds text outside of any test case; left out")

    def _start_suite(self, _name: str, attributes: dict[str, str]) -> None:
        self._refuse_inside_case("a suite")
        if len(self._suites) >= MAX_SUITE_DEPTH:
            raise self._stream.refusal(f"suites are nested deeper than {MAX_SUITE_DEPTH}")
        if len(self._suites) == 1:
            for key, number in stated_counts(attributes).items():
                self._suite_claims[key] = self._suite_claims.get(key, 0) + number
        if self._takes_suite_times and not self._cases:
            times = (self.start_time, stated_time(self._stream, attributes))
            self.start_time = min((time for time in times if time), default=None)
        self._suites.append(self._child(self._suites[-1], attributes))
        self.remainder.add_suite(self._suites[-1].path, attributes)

    def _child(self, suite: Suite, attributes: dict[str, str]) -> Suite:
        if any(len(attributes.get(key, "")) > MAX_FACT_CHARACTERS for key in ("name", "file")):
            self._stream.note("long suite", "begins a suite whose name or file is too long; cut off")
        return suite.child(attributes)

    def _end_suite(self, _name: str) -> None:
        self._suites.pop()

    def _start_case(self, _name: str, attributes: dict[str, str]) -> None:
        self._refuse_inside_case("a test case")
        suite = self._suites[-1]
        suite.has_cases = True
        self._cases += 1
        self._repeated_characters += suite.repeated_characters
        if self._repeated_characters > self._max_repeated_characters:
            raise self._stream.refusal(
                f"what each test case repeats of its suites exceeds {self._max_repeated_characters:,} bytes "
                "(IBUTSU_TASKS_IMPORT_MAX_UNPACKED_BYTES)"
            )
        duration = stated_duration(self._stream, attributes)
        self._case = Case(
            self._cases,
            attributes,
            suite,
            suite.properties.snapshot(),
            self.root.properties.snapshot(),
            duration or 0.0,
        )
        left = left_over(attributes, suite.file)
        if duration is None and attributes.get("time"):
            left["time"] = attributes["time"]
        if left:
            self.remainder.add_attributes(self._case, left)

    def _end_case(self, _name: str) -> None:
        case = self._case
        if case is None:
            return
        if case.extras is not None and case.extras.is_cut:
            self._stream.note("extras", "ends a test case that says more than data holds; cut off")
        self.finished.append(case)
        self._case = None

    def _refuse_inside_case(self, what: str) -> None:
        if self._case is not None or self._open:
            raise self._stream.refusal(f"{what} begins inside a test case")

    def _start_text(self, name: str, attributes: dict[str, str]) -> None:
        if self._depth > MAX_ELEMENT_DEPTH:
            raise self._stream.refusal(f"elements are nested deeper than {MAX_ELEMENT_DEPTH}")
        if self._case is not None:
            self._case.elements += 1
            if self._case.elements > MAX_CASE_ELEMENTS:
                raise self._stream.refusal(f"one test case holds more than {MAX_CASE_ELEMENTS:,} elements")
        sink = TextSink(self.spool)
        self._open.append(OpenElement(name, attributes, sink))
        self._stream.on_text(sink.add)

    def _start_attempt(self, name: str, attributes: dict[str, str]) -> None:
        self._start_text(name, attributes)
        self._open[-1].line = self._stream.line

    def _take_text(self) -> OpenElement:
        taken = self._open.pop()
        self._stream.on_text(self._open[-1].sink.add if self._open else self._loose_text)
        return taken

    def _end_text(self, name: str) -> None:
        ended = self._take_text()
        attributes, text = ended.attributes, ended.sink.content()
        local = _local(name)
        element = TEXT_ELEMENTS[local]
        if self._case is not None:
            self._case.add_outcome(element, attributes, text)
            self.remainder.add_of_text(self._case, local, attributes, text, ended.line)
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
        filename = indexed(re.sub(r"[^\w.\-]+", "_", name)) + f"-{artifact}" if name else artifact
        artifact_id = derived_id(self._run_id, f"{filename}\0{self._suite_texts}")
        self.finished.append(ParsedArtifact(artifact_id, None, filename, text, TEXT_PLAIN))

    def _end_property(self, _name: str) -> None:
        ended = self._take_text()
        self._properties.add(self._suites, self._case, ended.attributes, ended.sink)


def _local(name: str) -> str:
    return name.rpartition(":")[2]
