"""What happens as each element of a JUnit report begins and ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from ibutsu_tasks.ibutsu.importers.findings import shown
from ibutsu_tasks.ibutsu.importers.junit.case import TEXT_ELEMENTS, Case, TextElement, outcome_element
from ibutsu_tasks.ibutsu.importers.junit.extras import MAX_FACT_CHARACTERS, left_over
from ibutsu_tasks.ibutsu.importers.junit.open_suites import OpenSuites
from ibutsu_tasks.ibutsu.importers.junit.properties import Properties
from ibutsu_tasks.ibutsu.importers.junit.remainder import Remainder
from ibutsu_tasks.ibutsu.importers.junit.stated import stated_duration
from ibutsu_tasks.ibutsu.importers.junit.words import (
    UNKNOWN_OUTCOME,
    note_contradiction,
    take_element,
    take_words,
)
from ibutsu_tasks.ibutsu.importers.spool import Spool, TextSink
from ibutsu_tasks.ibutsu.importers.statuses import names_red

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from ibutsu_tasks.ibutsu.importers.junit.xml_stream import XmlStream
    from ibutsu_tasks.ibutsu.importers.parsed import Content, ImportLimits

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
    element: TextElement | None = None
    """What it means, of one that says how a case ended in a word that is not JUnit's."""
    is_leaf: bool = True
    """Whether no foreign element began in it."""


class Interrupted(NamedTuple):
    """What was being read where a test case or a suite began that does not belong there."""

    depth: int
    """That of the element that began."""
    case: Case | None
    open: list[OpenElement]


class JUnitReport:
    """Handlers of the elements. What is complete is put into `finished`, for the reader to take out."""

    def __init__(self, stream: XmlStream, run_id: UUID, limits: ImportLimits) -> None:
        self.spool = Spool()
        self.remainder = Remainder(stream)
        self.suites = OpenSuites(stream, run_id, self.spool, self.remainder, limits)
        self.duration_seconds: float | None = None
        self._stream = stream
        self._depth = 0
        self._case: Case | None = None
        self._open: list[OpenElement] = []
        self._interrupted: list[Interrupted] = []
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

    def _start_root(self, name: str, attributes: dict[str, str]) -> None:
        local = _local(name)
        if local not in _SUITE_ELEMENTS:
            raise self._stream.refusal(
                f"the root element is <{shown(name)}>, a JUnit report begins with <testsuites> or <testsuite>"
            )
        self._stream.on_elements(self._start, self._end)
        self._depth = 1
        self.suites.begin_root(attributes, is_suite=local == "testsuite")
        self.remainder.add_suite(self.suites.root.path, attributes, is_root=True)
        self.duration_seconds = stated_duration(self._stream, attributes)

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        handler = self._starts.get(name) or self._starts.get(_local(name))
        if handler is not None:
            handler(name, attributes)
            return
        local = _local(name)
        self._refuse_depth()
        element = None if self._open else outcome_element(local)
        if element is not None:
            self._start_text(local, attributes)
            self._open[-1].element, self._open[-1].foreign_depth = element, self._depth
        elif self._case is not None:
            self._start_foreign(self._case, local, attributes)
        elif not self._open:
            self._stream.note("element", f"holds <{shown(name)}>, which is no part of JUnit; left out")

    def _end(self, name: str) -> None:
        self._depth -= 1
        self._stream.is_behind_root = not self._depth
        handler = self._ends.get(name) or self._ends.get(_local(name))
        if handler is not None:
            handler(name)
        elif self._open and self._open[-1].foreign_depth == self._depth + 1:
            self._end_foreign()

    def _start_foreign(self, case: Case, name: str, attributes: dict[str, str]) -> None:
        if self._open and (self._open[-1].element or not self._open[-1].foreign_depth):
            # Its text belongs to the element around it, as <stackTrace>'s does.
            if attributes:
                self.remainder.add_element(case, name, attributes, None)
            return
        if not self._open and case.statuses is None and names_red(name):
            what = f"holds <{shown(name)}>, {UNKNOWN_OUTCOME}; it is in data.elements"
            self._stream.note("red element", what)
        if self._open:
            self._open[-1].is_leaf = False
            # One character beyond the limit tells that it was cut.
            name = f"{self._open[-1].name}/{name}"[: MAX_FACT_CHARACTERS + 1]
        self._start_text(name, attributes)
        self._open[-1].foreign_depth = self._depth
        self._open[-1].line = self._stream.line

    def _end_foreign(self) -> None:
        if self._open[-1].element is not None:
            self._end_text(self._open[-1].name)
            return
        element = self._take_text()
        text = element.sink.content()
        if self._case is not None and (element.is_leaf or element.attributes or text is not None):
            take_element(self._case, element.name, element.attributes, text, self._stream)
            self.remainder.add_element(self._case, element.name, element.attributes, text, element.line)

    def _loose_text(self, text: str) -> None:
        if text.isspace():
            return
        if self._case is not None:
            self.remainder.add_element(self._case, "text()", {}, text.encode())
        else:
            self._stream.note("text", "holds text outside of any test case; left out")

    def _start_suite(self, _name: str, attributes: dict[str, str]) -> None:
        self._interrupt("a suite")
        if len(self.suites.stack) >= MAX_SUITE_DEPTH:
            raise self._stream.refusal(f"suites are nested deeper than {MAX_SUITE_DEPTH}")
        suite = self.suites.begin(attributes)
        self.remainder.add_suite(suite.path, attributes)

    def _end_suite(self, _name: str) -> None:
        self.suites.end()
        if self._interrupted:
            self._resume()

    def _start_case(self, _name: str, attributes: dict[str, str]) -> None:
        self._interrupt("a test case")
        suite = self.suites.stack[-1]
        duration = stated_duration(self._stream, attributes)
        self._case = self.suites.new_case(suite, attributes, duration or 0.0)
        left = left_over(attributes, suite.file)
        if duration is None and attributes.get("time"):
            left["time"] = attributes["time"]
        if left:
            take_words(self._case, left, self._stream)
            self.remainder.add_attributes(self._case, left)

    def _end_case(self, _name: str) -> None:
        if self._case is not None:
            note_contradiction(self._case, self._stream)
            self.suites.finish_case(self.suites.stack[-1], self._case)
            self._case = None
        if self._interrupted:
            self._resume()

    def _interrupt(self, what: str) -> None:
        """Set aside the test case or the text in which something begins that is read on its own."""
        if self._case is None and not self._open:
            return
        self._refuse_depth()
        where = "a test case" if self._case is not None else f"<{shown(self._open[-1].name)}>"
        self._stream.note("inside", f"begins {what} inside {where}; each was read on its own")
        self._interrupted.append(Interrupted(self._depth, self._case, self._open))
        self._case, self._open = None, []
        self._stream.on_text(self._loose_text)

    def _resume(self) -> None:
        """Go on with what was set aside, if what began in it has ended."""
        depth, case, opened = self._interrupted[-1]
        if depth != self._depth + 1:
            return
        self._interrupted.pop()
        self._case, self._open = case, opened
        self._stream.on_text(self._open[-1].sink.add if self._open else self._loose_text)
        if case is not None:
            # Snapshots are read in the order they were taken in, and cases have ended since.
            case.suite_properties = case.suite.properties.snapshot()

    def _refuse_depth(self) -> None:
        if self._depth > MAX_ELEMENT_DEPTH:
            raise self._stream.refusal(f"elements are nested deeper than {MAX_ELEMENT_DEPTH}")

    def _start_text(self, name: str, attributes: dict[str, str]) -> None:
        self._refuse_depth()
        if self._case is not None:
            self._count_element(self._case)
        sink = TextSink(self.spool)
        self._open.append(OpenElement(name, attributes, sink))
        self._stream.on_text(sink.add)

    def _count_element(self, case: Case) -> None:
        case.elements += 1
        if case.elements > MAX_CASE_ELEMENTS:
            raise self._stream.refusal(f"one test case holds more than {MAX_CASE_ELEMENTS:,} elements")

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
        element = ended.element or TEXT_ELEMENTS[local]
        case = self._case or self.suites.own_case(element)
        if case is not None:
            if case is not self._case:
                self._count_element(case)
            case.add_outcome(element, attributes, text)
            self.remainder.add_of_text(case, element, local, attributes, text, ended.line)
        if element.artifact and element.facts:
            text = self._with_message(attributes.get("message", ""), text)
        if element.artifact and text is not None:
            if case is not None:
                case.add_text(element.artifact, text, self.spool)
            else:
                self.suites.finish_text(self.suites.stack[-1], element.artifact, text)

    def _with_message(self, message: str, text: Content | None) -> Content | None:
        """Give the text, or the message when there is none, or both when data has no place for it."""
        if text is None:
            return message.encode() or None
        if len(message) <= MAX_FACT_CHARACTERS:
            return text
        return self.spool.join([message.encode() + b"\n", text])

    def _end_property(self, _name: str) -> None:
        ended = self._take_text()
        self._properties.add(self.suites.stack, self._case, ended.attributes, ended.sink)


def _local(name: str) -> str:
    return name.rpartition(":")[2]
