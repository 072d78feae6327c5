"""One `<testcase>`: the elements with text in it, what was gathered, and the rows it becomes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ibutsu_tasks.ibutsu.importers.indexed_values import fit_result
from ibutsu_tasks.ibutsu.importers.junit.extras import MAX_FACT_CHARACTERS, CaseExtras
from ibutsu_tasks.ibutsu.importers.junit.suite import A_PROPERTY, Suite, both
from ibutsu_tasks.ibutsu.importers.parsed import Content, ParsedArtifact, ParsedResult, ParsedRow, Upload
from ibutsu_tasks.ibutsu.importers.spool import IN_MEMORY_BYTES, Spool, chunks_of
from ibutsu_tasks.ibutsu.importers.statuses import red_claim, status_of_word, worst
from ibutsu_tasks.ibutsu.importers.values import column_text, derived_id

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from ibutsu_tasks.ibutsu.importers.findings import Findings
    from ibutsu_tasks.ibutsu.importers.junit.properties import Snapshot
    from ibutsu_tasks.ibutsu.importers.junit.suite import ColumnValues

TRACEBACK = "traceback.log"
TEXT_PLAIN = "text/plain"


@dataclass(frozen=True, slots=True)
class TextElement:
    """What an element with text means: the artifact that keeps it, and the status it gives the case."""

    artifact: str | None
    status: str | None = None
    facts: tuple[tuple[str, str], ...] = ()
    """Attribute of the element, key in the result's data."""
    text_fact: str | None = None
    attempt: str | None = None
    """The status of the attempt it records, when another attempt followed."""
    is_rerun: bool = False
    """Whether its attempt was the last so far, so that the case ended so unless an element says otherwise."""


_FAILURE_FACTS = (("message", "failure_message"), ("type", "exception_name"))

TEXT_ELEMENTS = {
    "failure": TextElement(TRACEBACK, "failed", _FAILURE_FACTS),
    "error": TextElement(TRACEBACK, "error", _FAILURE_FACTS),
    "skipped": TextElement(
        None, "skipped", (("message", "skip_reason"), ("type", "skip_type")), text_fact="skip_details"
    ),
    "xfailure": TextElement(TRACEBACK, "xfailed", (("message", "xfail_reason"),)),
    "xpassed": TextElement(TRACEBACK, "xpassed", (("message", "xpass_reason"),)),
    "system-out": TextElement("system-out.log"),
    "system-err": TextElement("system-err.log"),
    # Surefire's record of attempts: after reruns the test failed, or it was flaky and passed at last.
    "rerunFailure": TextElement(TRACEBACK, attempt="failed", is_rerun=True),
    "rerunError": TextElement(TRACEBACK, attempt="error", is_rerun=True),
    "flakyFailure": TextElement(TRACEBACK, attempt="failed"),
    "flakyError": TextElement(TRACEBACK, attempt="error"),
}
_ELEMENT_OF_STATUS = {
    element.status: element for element in reversed(TEXT_ELEMENTS.values()) if element.status is not None
}


def outcome_element(name: str) -> TextElement | None:
    """Give what an element means that says by its name how a case ended, such as `<failed>`; else None."""
    return _ELEMENT_OF_STATUS.get(status_of_word(name) or "")


@dataclass(slots=True)
class Case:
    """A test case; `suite_properties` and `of_root` are as they were when it began."""

    number: int
    attributes: dict[str, str]
    suite: Suite
    suite_properties: Snapshot
    of_root: ColumnValues
    duration_seconds: float
    is_suite_level: bool = False
    """Whether it is no test case, but what happened to the suite itself."""
    properties: dict[str, Any] | None = None
    properties_characters: int = 0
    words: list[tuple[str, str, str]] | None = None
    """The attributes that say how the case ended: name, word, status."""
    red_hint: str | None = None
    """An attribute or a property that sounds red and says nothing of the end for certain."""
    facts: dict[str, str] | None = None
    statuses: set[str] | None = None
    rerun_status: str | None = None
    """How the last rerun ended, of a test that no rerun passed."""
    texts: dict[str, list[Content]] | None = None
    extras: CaseExtras | None = None
    memory_bytes: int = 0
    elements: int = 0
    """Properties and texts; what they hold is in memory until the case ends."""

    def set_property(self, key: str, value: str) -> None:
        """Set a property of this case alone; one that is there already keeps both values."""
        self.properties = self.properties or {}
        self.properties[key] = both(self.properties.get(key), value)
        self.properties_characters += len(key) + len(value)
        if self.red_hint is None and (claim := red_claim({key: value})):
            self.red_hint = f"{A_PROPERTY} {claim}"

    def made_extras(self) -> CaseExtras:
        """Give what holds the extras of the case, made when first needed."""
        if self.extras is None:
            self.extras = CaseExtras()
        return self.extras

    def add_outcome(self, element: TextElement, attributes: dict[str, str], text: Content | None) -> None:
        """Take an element that ended: its status, its facts and its text."""
        if element.status:
            self.statuses = {element.status, *(self.statuses or ())}
        if element.is_rerun:
            self.rerun_status = element.attempt
        for attribute, key in element.facts:
            self._add_fact(key, attributes.get(attribute))
        if element.text_fact and text is not None:
            first = next(chunks_of(text))
            self._add_fact(element.text_fact, first.decode(errors="ignore"))

    def _add_fact(self, key: str, value: str | None) -> None:
        if not value:
            return
        self.facts = self.facts or {}
        before = self.facts.get(key)
        joined = value if before is None else f"{before}\n{value}"
        self.facts[key] = joined[:MAX_FACT_CHARACTERS]
        if len(joined) > MAX_FACT_CHARACTERS:
            self.made_extras().is_cut = True

    def add_text(self, artifact: str, text: Content, spool: Spool) -> None:
        """Store text for an artifact, in memory as long as the whole case is small."""
        if isinstance(text, bytes):
            self.memory_bytes += len(text)
            if self.memory_bytes > IN_MEMORY_BYTES:
                text = spool.store([text])
        if self.texts is None:
            self.texts = {}
        parts = self.texts.setdefault(artifact, [])
        if parts:
            parts.append(b"\n")
        parts.append(text)

    def status(self) -> str:
        """Give the one status of the case; elements go before attributes, the worse before the better."""
        return worst(self.statuses or {status for _, _, status in self.words or ()})

    def skip_word(self) -> str | None:
        """Give the attribute that says that the case did not run, if that is what became of it."""
        words = [f'{name}="{word}"' for name, word, status in self.words or () if status == "skipped"]
        return words[-1] if words and self.status() == "skipped" else None


@dataclass(frozen=True, slots=True)
class RowMaker:
    """Turns cases into rows of one run."""

    run_id: UUID
    upload: Upload
    spool: Spool
    findings: Findings

    def rows(self, case: Case) -> Iterator[ParsedRow]:
        """Give the result of a case, then its artifacts."""
        result = fit_result(self._result(case), self.findings)
        yield result
        for filename, parts in (case.texts or {}).items():
            content = self.spool.join(parts)
            yield ParsedArtifact(
                derived_id(result.id, f"{filename}\0{0}"), result.id, filename, content, TEXT_PLAIN
            )

    def _result(self, case: Case) -> ParsedResult:
        attributes, metadata = case.attributes, self.upload.metadata
        name, classname = attributes.get("name", ""), attributes.get("classname", "")
        key = f"{case.number}\0{chr(0).join(case.suite.path)}\0{classname}\0{name}"
        source = self.upload.source or case.suite.name or metadata.get("source") or case.of_root.source
        return ParsedResult(
            id=derived_id(self.run_id, key),
            test_id=name if case.is_suite_level else _test_id(case.number, classname, name),
            result=case.status(),
            duration_seconds=case.duration_seconds,
            start_time=None,
            data=self._data(case, classname),
            params={},
            source=column_text(source),
            env=column_text(metadata.get("env") or case.of_root.env),
            component=column_text(metadata.get("component") or case.of_root.component),
        )

    def _data(self, case: Case, classname: str) -> dict[str, Any]:
        data: dict[str, Any] = {"run": str(self.run_id)}
        attributes, suite = case.attributes, case.suite
        if fspath := suite.file or attributes.get("file") or "/".join(classname.split(".")[:-1]):
            data["fspath"] = fspath
        if line := attributes.get("line"):
            data["line"] = line
        if len(suite.path) > 1:
            data["suites"] = list(suite.path)
        case.suite_properties.put_into(data)
        if case.properties:
            data.update(case.properties)
        if case.facts:
            data.update(case.facts)
        if case.words and (skip_word := case.skip_word()):
            data.setdefault("skip_reason", skip_word)
        if case.is_suite_level:
            data["suite_level"] = True
        if case.extras:
            case.extras.put_into(data)
        return data


def _test_id(number: int, classname: str, name: str) -> str:
    last = name.rpartition(".")[2] or name
    if classname:
        last = f"{classname.rpartition('.')[2] or classname}.{last}" if last else classname
    return last or f"test case {number}"
