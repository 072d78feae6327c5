"""The properties of suites and test cases, within bounds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ibutsu_tasks.importers.junit.extras import MAX_FACT_CHARACTERS

if TYPE_CHECKING:
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

    def __init__(self, stream: XmlStream, remainder: Remainder) -> None:
        self._stream = stream
        self._remainder = remainder

    def add(self, suites: list[Suite], case: Case | None, attributes: dict[str, str], sink: TextSink) -> None:
        """Take a property that ended: of the open case, or else of the innermost suite."""
        key = attributes.get("name") or attributes.get("key")
        if not key:
            self._stream.note("property", "holds a property without a name")
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
            self._stream.note("long property", "ends a property that is too long; cut off")
        self._set(suites, case, key, value)

    def _set(self, suites: list[Suite], case: Case | None, key: str, value: str) -> None:
        suite = suites[-1]
        holder = case or suite
        is_full = holder.properties_characters > MAX_PROPERTIES_CHARACTERS
        if is_full or len(holder.properties or ()) >= MAX_PROPERTIES:
            what = "holds more properties than one test case can have; the rest was left out"
            self._stream.note("properties", what)
        elif case is not None:
            if case.properties and (before := case.properties.get(key, value)) != value:
                self._remainder.add_element(case, "property", {"name": key, "value": before}, None)
            case.set_property(key, value)
        else:
            suite.set_property(key, value)
            if suite.has_cases and len(suites) > 1:
                self._remainder.add_late_property(suite.path, key, value)

    def _property_text(self, sink: TextSink) -> str:
        text = sink.content() or b""
        if isinstance(text, bytes):
            return text.decode().strip()
        self._stream.note("long property", "ends a property that is too long; cut off")
        return next(text.chunks()).decode(errors="ignore")[:MAX_FACT_CHARACTERS]
