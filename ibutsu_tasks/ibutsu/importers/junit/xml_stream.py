"""expat fed from a file, with the doors closed that a hostile or broken file could use."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING
from xml.parsers import expat

from ibutsu_tasks.errors import InvalidImportError
from ibutsu_tasks.ibutsu.importers.findings import Findings, shown
from ibutsu_tasks.ibutsu.importers.junit.open_tag import MAX_ATTRIBUTES, NO_TAG, OpenTag
from ibutsu_tasks.ibutsu.importers.junit.xml_text import XmlText

if TYPE_CHECKING:
    from collections.abc import Callable

    from ibutsu_tasks.ibutsu.importers.parsed import ImportLimits

_TEXT_BUFFER_BYTES = 64 * 1024
# expat keeps every name it met, and dialects together have a few hundred.
_MAX_NAMES_CHARACTERS = 1024 * 1024
# expat goes through all that are declared of an element at each of its tags.
_MAX_DECLARED_ATTRIBUTES = 1_000
# It keeps the name of each element that is declared, too.
_MAX_DOCTYPE_BYTES = 1024 * 1024
_CUT_OFF = "the file ends too early, it seems to be cut off"
_NOT_WELL_FORMED = "not well-formed (invalid token)"
_BEHIND_ROOT = "junk after document element"
"""What expat calls text behind the root only if it begins with a letter."""
_SENTENCES = {
    "no element found": _CUT_OFF,
    "unclosed token": _CUT_OFF,
    "unclosed CDATA section": _CUT_OFF,
    _BEHIND_ROOT: "something follows the end of the report",
    "mismatched tag": "a tag is closed that is not the open one",
    "undefined entity": "an entity is used that XML does not define",
}


class XmlStream:
    """Parses an XML file piece by piece, in memory that does not grow with the file.

    Entities and attribute defaults are refused when they are declared, before anything could be expanded; an
    external document type is never fetched.
    """

    def __init__(self, content: IO[bytes], filename: str, limits: ImportLimits) -> None:
        self.findings = Findings()
        self.is_behind_root = False
        """Set by who knows that the root has ended."""
        self._filename = filename
        self._max_tag_bytes = limits.document_bytes
        self._text = XmlText(content, filename, self.findings)
        self._pieces = self._text.pieces()
        self._fed_bytes = 0
        self._fed_last = b""
        self._open_tag = NO_TAG
        self._ended = False
        self._doctype_start: int | None = None
        self._declared_attributes = 0
        # The pieces are UTF-8 whatever the declaration says.
        self._names: dict[str, str] = {}
        self._parser = expat.ParserCreate("utf-8", None, self._names)
        if hasattr(self._parser, "SetReparseDeferralEnabled"):
            # From expat 2.6 on it waits, too, and would say of a tag that has ended that it has not.
            self._parser.SetReparseDeferralEnabled(False)
        self._parser.buffer_size = _TEXT_BUFFER_BYTES
        self._parser.buffer_text = True
        self._parser.StartDoctypeDeclHandler = self._doctype
        self._parser.EndDoctypeDeclHandler = self._end_doctype
        self._parser.SkippedEntityHandler = self._skipped_entity
        self._parser.EntityDeclHandler = self._entity_declaration
        self._parser.AttlistDeclHandler = self._attribute_declaration

    @property
    def line(self) -> int:
        """Line of the file the parser is at, from 1."""
        return self._parser.CurrentLineNumber + self._text.skipped_lines

    @property
    def position_bytes(self) -> int:
        """How many bytes of the file, as UTF-8, are before what the parser is at."""
        return self._parser.CurrentByteIndex

    def note(self, kind: str, what: str) -> None:
        """Report what the current line says or does, as one occurrence of its kind."""
        self.findings.note(kind, f"line {self.line} {what}")

    def on_elements(self, start: Callable[[str, dict[str, str]], None], end: Callable[[str], None]) -> None:
        """Set what is called when an element begins and ends."""
        self._parser.StartElementHandler = start
        self._parser.EndElementHandler = end

    def on_text(self, target: Callable[[str], None] | None) -> None:
        """Set what takes text from here on; the white space between elements is not worth a call."""
        self._parser.CharacterDataHandler = target

    def feed(self) -> bool:
        """Parse the next piece of the file; False when the end was reached.

        Raises `InvalidImportError` for malformed XML and for what the handlers refuse.
        """
        if self._ended:
            return False
        data = self._next_piece()
        self._fed_bytes += len(data)
        self._fed_last = data
        try:
            self._parser.Parse(data, not data)
        except expat.ExpatError as error:
            reason = expat.ErrorString(error.code) or "unknown error"
            if self.is_behind_root and reason == _NOT_WELL_FORMED:
                reason = _BEHIND_ROOT
            sentence = _SENTENCES.get(reason, f"this is not well-formed XML ({reason})")
            raise self.refusal(sentence, error.lineno + self._text.skipped_lines) from None
        if not data:
            self._end()
        return bool(data)

    def _end(self) -> None:
        self._ended = True
        # The handlers belong to objects that refer back to us: without the cycle they go at once, and
        # a temporary file of theirs with them.
        self._parser.StartElementHandler = self._parser.EndElementHandler = None
        self._parser.CharacterDataHandler = None

    def _next_piece(self) -> bytes:
        unfinished = self._fed_bytes - max(self._parser.CurrentByteIndex, 0)
        if unfinished > self._max_tag_bytes:
            raise self.refusal(f"a single tag is larger than {self._max_tag_bytes:,} bytes")
        if sum(map(len, filter(None, self._names))) > _MAX_NAMES_CHARACTERS:
            raise self.refusal("elements and attributes have more different names than any report needs")
        if self._doctype_start is not None and self._fed_bytes - self._doctype_start > _MAX_DOCTYPE_BYTES:
            raise self.refusal(f"the document type is larger than {_MAX_DOCTYPE_BYTES:,} bytes")
        # expat scans an unfinished tag from its beginning each time, so a large one gets large pieces.
        wanted, pieces = min(unfinished, self._max_tag_bytes - unfinished), []
        tag = self._tag_at(self._fed_bytes - unfinished, unfinished)
        for piece in self._pieces:
            tag.add(piece)
            if tag.has_too_many_attributes:
                raise self.refusal(f"a single tag has more than {MAX_ATTRIBUTES:,} attributes")
            pieces.append(piece)
            wanted -= len(piece)
            if wanted <= 0:
                break
        return b"".join(pieces)

    def _tag_at(self, start: int, length: int) -> OpenTag:
        if not length:
            return NO_TAG
        if self._open_tag.start != start:
            self._open_tag = OpenTag(start, self._fed_last[-length:])
        return self._open_tag

    def refusal(self, sentence: str, line: int | None = None) -> InvalidImportError:
        """Make the error that names the file and the line, which is the current one if not given."""
        return InvalidImportError(f"{shown(self._filename)}, line {line or self.line}: {sentence}.")

    def _doctype(
        self, name: str, system_id: str | None, public_id: str | None, _has_internal_subset: bool
    ) -> None:
        self._doctype_start = self._parser.CurrentByteIndex
        if name.lower() == "html":
            raise self.refusal("this is an HTML page, not a JUnit report")
        if system_id is not None or public_id is not None:
            self.note("doctype", "refers to an external document type, which was not fetched")

    def _end_doctype(self) -> None:
        self._doctype_start = None

    def _skipped_entity(self, name: str, _is_parameter: bool) -> None:
        self.note("entity", f"uses the entity {shown(name)}, which is not defined here; left out")

    def _entity_declaration(self, name: str, *_: object) -> None:
        raise self.refusal(f"the file declares entities ({shown(name)}); refused, a report needs none")

    def _attribute_declaration(
        self, element: str, attribute: str, _type: str, default: str | None, _required: bool
    ) -> None:
        self._declared_attributes += 1
        if self._declared_attributes > _MAX_DECLARED_ATTRIBUTES:
            raise self.refusal(
                f"the file declares more than {_MAX_DECLARED_ATTRIBUTES:,} attributes; a report needs none"
            )
        if default is not None:
            declared = shown(f"{attribute} of {element}")
            raise self.refusal(
                f"the file declares attribute defaults ({declared}); refused, a report needs none"
            )
