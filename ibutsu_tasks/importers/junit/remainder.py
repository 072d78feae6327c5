"""What a report says beyond its rows: kept in the data of results and of the run, and named in findings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ibutsu_tasks.importers.junit.case import TEXT_ELEMENTS
from ibutsu_tasks.importers.junit.extras import names_attachments
from ibutsu_tasks.importers.junit.suites import SuiteFacts

if TYPE_CHECKING:
    from ibutsu_tasks.importers.findings import Findings
    from ibutsu_tasks.importers.junit.case import Case
    from ibutsu_tasks.importers.junit.xml_stream import XmlStream
    from ibutsu_tasks.importers.parsed import Content


class Remainder:
    """Keeps what no column and no artifact takes."""

    def __init__(self, stream: XmlStream, findings: Findings) -> None:
        self.suite_facts = SuiteFacts()
        self._stream = stream
        self._findings = findings

    def add_element(
        self, case: Case, path: str, attributes: dict[str, str], text: Content | None, line: int | None = None
    ) -> None:
        """Keep an element of a case; `line` is where it began, if that is not the current one."""
        case.made_extras().add_element(path, attributes, text)
        self._mention(f"<{path}>", "data.elements", line)

    def _mention(self, what: str, where: str, line: int | None = None) -> None:
        if not self._findings.counts_kept(what, where):
            self._findings.keep(what, where, line or self._stream.line)

    def mention_suite_facts(self, facts: dict[str, str], what: str = "of a suite") -> None:
        """Say what `suite_facts` has taken in."""
        for key in facts:
            self._mention(f"{key} {what}", "run: data.suites")
        if self.suite_facts.is_cut and not self._findings.knows("suites"):
            sentence = (
                f"the suites say more than the run's data holds; from line {self._stream.line} left out"
            )
            self._findings.note("suites", sentence)

    def add_attributes(self, case: Case, attributes: dict[str, str]) -> None:
        """Keep attributes of the case itself."""
        case.made_extras().add_attributes(attributes)
        for name in attributes:
            self._mention(f"{name} of a case", "data.attributes")

    def add_of_text(
        self,
        case: Case,
        name: str,
        attributes: dict[str, str],
        text: Content | None,
        attempt_line: int,
    ) -> None:
        """Keep what an element with text says beyond status, facts and artifact."""
        element = TEXT_ELEMENTS[name]
        if not (attributes or element.attempt or names_attachments(text)):
            return
        if element.attempt:
            case.made_extras().add_attempt(element.attempt, attributes, text)
            self._mention(f"<{name}>", "data.attempts", attempt_line)
        elif attributes:
            shown_elsewhere = {attribute for attribute, _ in element.facts}
            if left := {key: value for key, value in attributes.items() if key not in shown_elsewhere}:
                self.add_element(case, name, left, None)
        if isinstance(text, bytes) and names_attachments(text):
            case.made_extras().add_attachments(text)
            self._mention("[[ATTACHMENT|", "data.attachments")
