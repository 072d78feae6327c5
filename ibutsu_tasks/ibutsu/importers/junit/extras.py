"""What a test case says that no column and no artifact takes: stored in its data, within bounds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ibutsu_tasks.ibutsu.importers.spool import chunks_of
from ibutsu_tasks.ibutsu.importers.values import INDEXED_BYTES, free_key

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ibutsu_tasks.ibutsu.importers.parsed import Content

MAX_FACT_CHARACTERS = 10_000
"""Facts of a result live in an indexed JSON column; a whole text is in the artifact beside it."""

MAX_EXTRA_CHARACTERS = 100_000
MAX_EXTRAS = 1_000
"""Attributes, elements, attempts and attachments of one test case."""

_PLAIN_ATTRIBUTES = frozenset({"name", "classname", "time"})
_COLUMN_ATTRIBUTES = _PLAIN_ATTRIBUTES | {"file", "line"}
# Four bytes at most are one character.
_SAFE_NAME_CHARACTERS = INDEXED_BYTES // 4
# Playwright and Jenkins' attachments plugin.
_MARK, _MARK_END = b"[[ATTACHMENT|", b"]]"
_MAX_MARK_BYTES = 64 * 1024


@dataclass(slots=True)
class CaseExtras:
    """The extras of one case; `is_cut` says that some were too many or too long."""

    attributes: dict[str, str] = field(default_factory=dict)
    elements: list[dict[str, Any]] = field(default_factory=list)
    attempts: list[dict[str, Any]] = field(default_factory=list)
    attachments: list[str] = field(default_factory=list)
    is_cut: bool = False
    _count: int = 0
    _characters: int = 0

    def add_attributes(self, attributes: dict[str, str]) -> None:
        """Store attributes of the case itself."""
        self.attributes |= self._fitting(attributes)

    def add_element(self, path: str, attributes: dict[str, str], text: Content | None) -> None:
        """Store an element below the case, named by its path."""
        if self._has_room():
            entry: dict[str, Any] = {"element": self._fit(path)}
            if attributes:
                entry["attributes"] = self._fitting(attributes)
            self.elements.append(self._with_text(entry, text))

    def add_attempt(self, status: str, attributes: dict[str, str], text: Content | None) -> None:
        """Store an attempt that another followed."""
        if self._has_room():
            self.attempts.append(self._with_text({"status": status, **self._fitting(attributes)}, text))

    def add_attachment(self, path: str) -> None:
        """Store the path of a file that a text names."""
        if self._has_room():
            self.attachments.append(self._fit(path))

    def put_into(self, data: dict[str, Any]) -> None:
        """Add what there is to the data of a result, beside whatever is there."""
        for key in ("attributes", "elements", "attempts", "attachments"):
            if value := getattr(self, key):
                data[free_key(data, key)] = value

    def _fitting(self, attributes: dict[str, str]) -> dict[str, str]:
        return {self._fit(key): self._fit(value) for key, value in attributes.items() if self._has_room()}

    def _has_room(self) -> bool:
        self._count += 1
        if self._count > MAX_EXTRAS or self._characters >= MAX_EXTRA_CHARACTERS:
            self.is_cut = True
            return False
        return True

    def _with_text(self, entry: dict[str, Any], text: Content | None) -> dict[str, Any]:
        if text is not None:
            first = next(chunks_of(text))
            self.is_cut = self.is_cut or len(first) < len(text)
            entry["text"] = self._fit(first.decode(errors="ignore").strip())
        return entry

    def _fit(self, text: str) -> str:
        fitting = text[: max(0, min(MAX_FACT_CHARACTERS, MAX_EXTRA_CHARACTERS - self._characters))]
        self._characters += len(fitting)
        self.is_cut = self.is_cut or len(fitting) < len(text)
        return fitting


def attachments_in(text: Content) -> Iterator[str]:
    """Give the paths of the files that a text names, one or several to a line; they may hold brackets."""
    if isinstance(text, bytes):
        yield from _attachments_of(text)
        return
    rest = b""
    for chunk in chunks_of(text):
        whole = rest + chunk
        end = _end_of_whole_marks(whole)
        rest = whole[end:]
        yield from _attachments_of(whole[:end])
    yield from _attachments_of(rest)


def _end_of_whole_marks(text: bytes) -> int:
    """Give where that begins which the next piece of a text may complete: the last line, or a mark in it."""
    line = text.rfind(b"\n") + 1
    if len(text) - line <= _MAX_MARK_BYTES:
        return line
    mark = text.rfind(_MARK, line)
    return mark if mark >= len(text) - _MAX_MARK_BYTES else len(text) - len(_MARK)


def _attachments_of(text: bytes) -> Iterator[str]:
    for part in text.split(_MARK)[1:]:
        path, end, _ = part.partition(b"\n")[0].rpartition(_MARK_END)
        if end and path:
            yield path.decode(errors="replace")


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
