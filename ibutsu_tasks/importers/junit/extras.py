"""What a test case says that no column and no artifact takes: kept in its data, within bounds."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ibutsu_tasks.importers.spool import chunks_of
from ibutsu_tasks.importers.values import INDEXED_BYTES

if TYPE_CHECKING:
    from ibutsu_tasks.importers.parsed import Content
    from ibutsu_tasks.importers.spool import TextSink

MAX_FACT_CHARACTERS = 10_000
"""Facts of a result live in an indexed JSON column; a whole text is in the artifact beside it."""

MAX_EXTRA_CHARACTERS = 100_000
MAX_EXTRAS = 1_000
"""Attributes, elements, attempts and attachments of one test case."""

_PLAIN_ATTRIBUTES = frozenset({"name", "classname", "time"})
_COLUMN_ATTRIBUTES = _PLAIN_ATTRIBUTES | {"file", "line"}
# Four bytes at most are one character.
_SAFE_NAME_CHARACTERS = INDEXED_BYTES // 4
# How googletest, CTest and others say without a <skipped> that a test did not run.
_NOT_RUN = frozenset({"notrun", "not_run", "disabled", "suppressed", "skipped", "ignored"})
# Playwright and Jenkins' attachments plugin.
_ATTACHMENT = re.compile(rb"\[\[ATTACHMENT\|([^\]\r\n]+)\]\]")


@dataclass(slots=True)
class CaseExtras:
    """The extras of one case; `is_cut` says that some were too many or too long."""

    attributes: dict[str, str] = field(default_factory=dict)
    elements: list[dict[str, Any]] = field(default_factory=list)
    attempts: list[dict[str, Any]] = field(default_factory=list)
    attachments: list[str] = field(default_factory=list)
    not_run_because: str | None = None
    is_cut: bool = False
    _count: int = 0
    _characters: int = 0

    def add_attributes(self, attributes: dict[str, str]) -> None:
        """Keep attributes of the case itself."""
        self.attributes |= self._fitting(attributes)
        for name in ("status", "result"):
            if attributes.get(name, "").lower() in _NOT_RUN:
                self.not_run_because = f'{name}="{attributes[name]}"'

    def add_element(self, path: str, attributes: dict[str, str], text: Content | None) -> None:
        """Keep an element below the case, named by its path."""
        if self._has_room():
            self.elements.append({"element": self._fit(path), **self._entry(attributes, text)})

    def add_attempt(self, status: str, attributes: dict[str, str], text: Content | None) -> None:
        """Keep an attempt that another followed."""
        if self._has_room():
            entry = {"status": status, **self._fitting(attributes)}
            self.attempts.append(entry if text is None else {**entry, "text": self._beginning(text)})

    def add_attachments(self, text: bytes) -> None:
        """Keep the paths of files that a text names."""
        for path in _ATTACHMENT.findall(text):
            if self._has_room():
                self.attachments.append(self._fit(path.decode()))

    def put_into(self, data: dict[str, Any]) -> None:
        """Add what there is to the data of a result, beside whatever is there."""
        for key in ("attributes", "elements", "attempts", "attachments"):
            if value := getattr(self, key):
                data[free_key(data, key)] = value

    def _entry(self, attributes: dict[str, str], text: Content | None) -> dict[str, Any]:
        entry: dict[str, Any] = {"attributes": self._fitting(attributes)} if attributes else {}
        return entry if text is None else {**entry, "text": self._beginning(text)}

    def _fitting(self, attributes: dict[str, str]) -> dict[str, str]:
        return {self._fit(key): self._fit(value) for key, value in attributes.items() if self._has_room()}

    def _has_room(self) -> bool:
        self._count += 1
        if self._count > MAX_EXTRAS or self._characters >= MAX_EXTRA_CHARACTERS:
            self.is_cut = True
            return False
        return True

    def _beginning(self, text: Content) -> str:
        first = next(chunks_of(text))
        self.is_cut = self.is_cut or len(first) < len(text)
        return self._fit(first.decode(errors="ignore").strip())

    def _fit(self, text: str) -> str:
        fitting = text[: max(0, min(MAX_FACT_CHARACTERS, MAX_EXTRA_CHARACTERS - self._characters))]
        self._characters += len(fitting)
        self.is_cut = self.is_cut or len(fitting) < len(text)
        return fitting


def free_key(data: dict[str, Any], key: str) -> str:
    """Give the key, with as many underscores behind it as leave what is in `data` alone."""
    while key in data:
        key += "_"
    return key


def names_attachments(text: Content | None) -> bool:
    """Tell whether a text names attached files; one too large for memory is not searched."""
    return isinstance(text, bytes) and b"[[ATTACHMENT|" in text


def left_over(attributes: dict[str, str], suite_file: str | None) -> dict[str, str]:
    """Give the attributes of a case that its columns and its data do not show in full.

    The test id has the last dotted parts of name and class name, and `data.fspath` the other parts of the
    class name unless a file is stated; a class name that is itself a path could not be put together again.
    """
    name, classname = attributes.get("name", ""), attributes.get("classname", "")
    is_long = len(name) + len(classname) > _SAFE_NAME_CHARACTERS
    if attributes.keys() <= _PLAIN_ATTRIBUTES and not (
        is_long or suite_file or "." in name or "/" in classname
    ):
        return {}
    left = {key: value for key, value in attributes.items() if key not in _COLUMN_ATTRIBUTES}
    file = attributes.get("file")
    if is_long or "." in name:
        left["name"] = name
    if classname and (is_long or ("." in classname and (suite_file or file or "/" in classname))):
        left["classname"] = classname
    if file and suite_file and file != suite_file:
        left["file"] = file
    return left


@dataclass(slots=True)
class ForeignElement:
    """One of them; `is_leaf` says that no other was in it."""

    depth: int
    name: str
    attributes: dict[str, str]
    sink: TextSink
    line: int
    is_leaf: bool = True


@dataclass(slots=True)
class ForeignElements:
    """The open elements of a case that JUnit does not know, outermost first."""

    _open: list[ForeignElement] = field(default_factory=list)

    def begin(self, depth: int, name: str, attributes: dict[str, str], sink: TextSink, line: int) -> None:
        """Open one at a line of the file; its text goes to `sink`."""
        if self._open:
            self._open[-1].is_leaf = False
        self._open.append(ForeignElement(depth, name, attributes, sink, line))

    def owns(self, sink: TextSink) -> bool:
        """Tell whether the text of the innermost one goes to `sink`."""
        return bool(self._open) and self._open[-1].sink is sink

    def ends_at(self, depth: int) -> bool:
        """Tell whether the innermost one began at this depth."""
        return bool(self._open) and self._open[-1].depth == depth

    def end(self) -> tuple[str, ForeignElement]:
        """Close the innermost one: its path below the case, and what it was."""
        path = "/".join(element.name for element in self._open)
        return path, self._open.pop()
