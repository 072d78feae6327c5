"""What a report says beyond its rows: stored in the data of results and of the run, and named in findings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ibutsu_tasks.ibutsu.importers.junit.extras import attachments_in
from ibutsu_tasks.ibutsu.importers.junit.stated import COUNT_ATTRIBUTES
from ibutsu_tasks.ibutsu.importers.junit.suite import both

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ibutsu_tasks.ibutsu.importers.junit.case import Case, TextElement
    from ibutsu_tasks.ibutsu.importers.junit.xml_stream import XmlStream
    from ibutsu_tasks.ibutsu.importers.parsed import Content

MAX_SUITE_FACTS = 1_000
MAX_SUITE_FACT_CHARACTERS = 100_000

# Counts are taken anew from the cases; name and file are in every result.
_IN_RESULTS = COUNT_ATTRIBUTES | {"name", "file"}


class Remainder:
    """Stores what no column and no artifact takes: of cases in their data, of suites in the run's."""

    def __init__(self, stream: XmlStream) -> None:
        self.suites: list[dict[str, Any]] = []
        """One entry per suite that says something."""
        self._stream = stream
        self._suite_characters = 0

    def add_suite(self, path: tuple[str, ...], attributes: dict[str, str], *, is_root: bool = False) -> None:
        """Store what a suite says, such as `timestamp` and `hostname`; the root's time is the run's."""
        facts = {
            key: value
            for key, value in attributes.items()
            if key not in _IN_RESULTS and not key.startswith(("xmlns", "xsi:"))
        }
        if is_root:
            facts.pop("time", None)
            if not path and "name" in attributes:
                facts["name"] = attributes["name"]
        self._add_suite_facts(path, "attributes", facts, "of a suite")

    def add_late_property(self, path: tuple[str, ...], key: str, value: str) -> None:
        """Store a property that stands behind the cases of its suite, whose results lack it therefore."""
        self._add_suite_facts(path, "properties", {key: value}, "behind the cases of a suite")

    def add_properties(self, path: tuple[str, ...], properties: Mapping[str, Any]) -> None:
        """Store the properties of a suite without cases, which no result has therefore."""
        for key, value in properties.items():
            for one in value if isinstance(value, list) else [value]:
                self._add_suite_facts(path, "properties", {key: one}, "of a suite without cases")

    def add_suite_text(self, path: tuple[str, ...], text: Content) -> None:
        """Store the paths of the files that the output of a suite names."""
        for attachment in attachments_in(text):
            if self._has_room(path, len(attachment)):
                self._last_entry(path, "attachments", []).append(attachment)
                self._mention("[[ATTACHMENT| of a suite", "run: data.suites")

    def _add_suite_facts(self, path: tuple[str, ...], kind: str, facts: dict[str, str], what: str) -> None:
        if not facts:
            return
        if not self._has_room(path, sum(len(key) + len(value) for key, value in facts.items())):
            return
        if kind == "properties":
            held = self._last_entry(path, kind, {})
            for key, value in facts.items():
                held[key] = both(held.get(key), value)
        else:
            self.suites.append({"path": list(path), kind: facts})
        for key in facts:
            self._mention(f"{key} {what}", "run: data.suites")

    def _has_room(self, path: tuple[str, ...], characters: int) -> bool:
        self._suite_characters += characters + sum(map(len, path))
        if self._suite_characters > MAX_SUITE_FACT_CHARACTERS or len(self.suites) >= MAX_SUITE_FACTS:
            self._stream.note("suites", "says more of a suite than the run's data holds; left out")
            return False
        return True

    def _last_entry(self, path: tuple[str, ...], kind: str, empty: Any) -> Any:
        """Give what the last entry has of a kind, if it is one of the suite's; else that of a new one."""
        last = self.suites[-1] if self.suites else {}
        if kind not in last or last["path"] != list(path):
            self.suites.append({"path": list(path), kind: empty})
        return self.suites[-1][kind]

    def add_element(
        self, case: Case, path: str, attributes: dict[str, str], text: Content | None, line: int | None = None
    ) -> None:
        """Store an element of a case; `line` is where it began, if that is not the current one."""
        case.made_extras().add_element(path, attributes, text)
        self._mention(f"<{path}>", "data.elements", line)

    def _mention(self, what: str, where: str, line: int | None = None) -> None:
        self._stream.findings.count_stored(what, where, lambda: line or self._stream.line)

    def add_attributes(self, case: Case, attributes: dict[str, str]) -> None:
        """Store attributes of the case itself."""
        case.made_extras().add_attributes(attributes)
        for name in attributes:
            self._mention(f"{name} of a case", "data.attributes")

    def add_of_text(
        self,
        case: Case,
        element: TextElement,
        name: str,
        attributes: dict[str, str],
        text: Content | None,
        attempt_line: int,
    ) -> None:
        """Store what an element with text says beyond status, facts and artifact."""
        if element.attempt:
            case.made_extras().add_attempt(element.attempt, attributes, text)
            self._mention(f"<{name}>", "data.attempts", attempt_line)
        elif attributes:
            shown_elsewhere = {attribute for attribute, _ in element.facts}
            if left := {key: value for key, value in attributes.items() if key not in shown_elsewhere}:
                self.add_element(case, name, left, None)
        if text is not None:
            for path in attachments_in(text):
                case.made_extras().add_attachment(path)
                self._mention("[[ATTACHMENT|", "data.attachments")
