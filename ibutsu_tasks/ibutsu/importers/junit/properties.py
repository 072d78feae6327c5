"""The properties of suites and test cases, within bounds."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

from ibutsu_tasks.ibutsu.importers.junit.extras import MAX_FACT_CHARACTERS

if TYPE_CHECKING:
    from ibutsu_tasks.ibutsu.importers.junit.case import Case
    from ibutsu_tasks.ibutsu.importers.junit.remainder import Remainder
    from ibutsu_tasks.ibutsu.importers.junit.suite import Suite
    from ibutsu_tasks.ibutsu.importers.junit.xml_stream import XmlStream
    from ibutsu_tasks.ibutsu.importers.spool import TextSink

MAX_PROPERTIES = 10_000
MAX_VALUES = 100
"""Values of one property, when it is given again and again."""
MAX_PROPERTY_CHARACTERS = 64 * 1024
MAX_PROPERTIES_CHARACTERS = 1024 * 1024
"""What one test case may have of properties, its own and inherited: they are repeated in every row."""


class SuiteProperties:
    """The properties of a suite, which may change between two of its test cases.

    Whoever inherits them keeps a snapshot. Snapshots are read in the order they were taken in, so the
    changes between them are all that is kept.
    """

    def __init__(self, outer: Snapshot | None = None) -> None:
        self.outer = outer
        self.latest: dict[str, Any] = {}
        """Those of this suite alone, without what it inherits."""
        self.count: int = outer.properties.count if outer else 0
        self.characters: int = outer.properties.characters if outer else 0
        self._changes: dict[str, Any] = {}
        self._waiting: deque[dict[str, Any]] = deque()
        self._read: dict[str, Any] = {}
        self._read_until = 0
        self._snapshot = Snapshot(self, 0)

    def set(self, key: str, value: Any, characters: int) -> None:
        """Set a property, with so many characters more, for the cases that begin from now on."""
        self.count += key not in self.latest
        self.characters += len(key) + characters
        self.latest[key] = self._changes[key] = value

    def snapshot(self) -> Snapshot:
        """Remember the properties as they are now."""
        if self._changes:
            self._waiting.append(self._changes)
            self._changes = {}
            self._snapshot = Snapshot(self, self._snapshot.changes + 1)
        return self._snapshot

    def after(self, changes: int) -> dict[str, Any]:
        """Give them as they were after so many changes, no fewer than the last time."""
        while self._read_until < changes:
            self._read |= self._waiting.popleft()
            self._read_until += 1
        return self._read


class Snapshot(NamedTuple):
    """The properties of a suite at one moment, and those of all suites around it."""

    properties: SuiteProperties
    changes: int

    def put_into(self, data: dict[str, Any]) -> None:
        """Add the properties to the data of a row; an inner suite's go before an outer one's."""
        if self.properties.outer:
            self.properties.outer.put_into(data)
        data.update(self.properties.after(self.changes))


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
        if max(len(key), len(value)) > MAX_PROPERTY_CHARACTERS:
            key, value = key[:MAX_PROPERTY_CHARACTERS], value[:MAX_PROPERTY_CHARACTERS]
            self._stream.note("long property", "ends a property that is too long; cut off")
        self._set(suites, case, key, value)

    def _set(self, suites: list[Suite], case: Case | None, key: str, value: str) -> None:
        suite = suites[-1]
        if case is None:
            count, characters = suite.properties.count, suite.properties.characters
            before = suite.properties.latest.get(key)
        else:
            count, characters = len(case.properties or ()), case.properties_characters
            before = (case.properties or {}).get(key)
        has_many = isinstance(before, list) and len(before) >= MAX_VALUES
        if has_many or count >= MAX_PROPERTIES or characters > MAX_PROPERTIES_CHARACTERS:
            what = "holds more properties than one test case can have; the rest was left out"
            self._stream.note("properties", what)
        elif case is not None:
            case.set_property(key, value)
        else:
            suite.set_property(key, value)
            if suite.tally.tests and len(suites) > 1:
                self._remainder.add_late_property(suite.path, key, value)

    def _property_text(self, sink: TextSink) -> str:
        text = sink.content() or b""
        if isinstance(text, bytes):
            return text.decode().strip()
        self._stream.note("long property", "ends a property that is too long; cut off")
        return next(text.chunks()).decode(errors="ignore")[:MAX_FACT_CHARACTERS]
