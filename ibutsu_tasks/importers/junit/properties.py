"""The properties of suites and test cases, within bounds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ibutsu_tasks.importers.junit.extras import MAX_FACT_CHARACTERS

if TYPE_CHECKING:
    from ibutsu_tasks.importers.findings import Findings
    from ibutsu_tasks.importers.junit.case import Case, Suite
    from ibutsu_tasks.importers.junit.remainder import Remainder
    from ibutsu_tasks.importers.junit.xml_stream import XmlStream
    from ibutsu_tasks.importers.spool import TextSink

MAX_PROPERTIES = 10_000
MAX_PROPERTY_CHARACTERS = 64 * 1024
MAX_PROPERTIES_CHARACTERS = 1024 * 1024
"""What one test case may have of properties, its own and inherited: they are repeated in every row."""


class Properties:
    """Puts each property where it belongs; one that has no place there goes to the remainder."""

    def __init__(self, stream: XmlStream, findings: Findings, remainder: Remainder) -> None:
        self._stream = stream
        self._findings = findings
        self._remainder = remainder

    def add(self, suites: list[Suite], case: Case | None, attributes: dict[str, str], sink: TextSink) -> None:
        """Take a property that ended: of the open case, or else of the innermost suite."""
        key = attributes.get("name") or attributes.get("key")
        if not key:
            self._findings.note("property", f"line {self._stream.line} holds a property without a name")
            if case is not None:
                self._remainder.add_element(case, "property", attributes, sink.content())
            return
        value = attributes.get("value")
        if value is None:
            value = self._property_text(sink)
        elif case is not None and (text := sink.content()):
            self._remainder.add_element(case, "property", {"name": key}, text)
        if len(value) > MAX_PROPERTY_CHARACTERS:
            value = value[:MAX_PROPERTY_CHARACTERS]
            self._note_long_property()
        self._set(suites, case, key, value)

    def _set(self, suites: list[Suite], case: Case | None, key: str, value: str) -> None:
        suite = suites[-1]
        holder = case or suite
        is_full = holder.properties_characters > MAX_PROPERTIES_CHARACTERS
        if is_full or len(holder.properties or ()) >= MAX_PROPERTIES:
            sentence = "more properties apply to one test case than can be kept; the rest was left out"
            self._findings.note("properties", f"line {self._stream.line}: {sentence}")
        elif case is not None:
            self._set_of_case(case, key, value)
        else:
            suite.set_property(key, value)
            if suite.has_cases and len(suites) > 1:
                kept = self._remainder.suite_facts.add_late_property(suite.path, key, value)
                self._remainder.mention_suite_facts(kept, "behind the cases of a suite")

    def _note_long_property(self) -> None:
        sentence = f"line {self._stream.line} ends a property too long to keep; cut"
        self._findings.note("long property", sentence)

    def _set_of_case(self, case: Case, key: str, value: str) -> None:
        if case.properties and case.properties.get(key, value) != value:
            self._remainder.add_element(case, "property", {"name": key, "value": case.properties[key]}, None)
        case.set_property(key, value)

    def _property_text(self, sink: TextSink) -> str:
        text = sink.content() or b""
        if isinstance(text, bytes):
            return text.decode().strip()
        self._note_long_property()
        return next(text.chunks()).decode(errors="ignore")[:MAX_FACT_CHARACTERS]
