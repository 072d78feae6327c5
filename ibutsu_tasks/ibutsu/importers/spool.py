"""Text and files too large for memory, kept in one temporary file per import."""

from __future__ import annotations

import os
import tempfile
import weakref
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import IO, TYPE_CHECKING

from ibutsu_tasks.ibutsu.importers.parsed import Content, SpooledContent

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

IN_MEMORY_BYTES = 1024 * 1024


def chunks_of(content: Content) -> Iterator[bytes]:
    """Read content wherever it is kept, in pieces of at most `CHUNK_BYTES` when it is spooled."""
    if isinstance(content, SpooledContent):
        yield from content.chunks()
    else:
        yield content


class Spool:
    """One temporary file without a name, made when first needed.

    It lives as long as anything refers to it, so contents stay readable after the importer has ended.
    """

    @cached_property
    def _file(self) -> IO[bytes]:
        descriptor, path = tempfile.mkstemp(prefix="ibutsu-tasks-import-")
        Path(path).unlink()
        file = os.fdopen(descriptor, "w+b", closefd=False)
        weakref.finalize(file, os.close, descriptor)
        return file

    def store(self, chunks: Iterable[bytes]) -> SpooledContent:
        """Append the chunks to the file; they may be read from the file itself."""
        offset = end = self._file.seek(0, os.SEEK_END)
        for chunk in chunks:
            self._file.seek(end)
            end += self._file.write(chunk)
        return SpooledContent(self._file, offset, end - offset)

    def join(self, parts: list[Content]) -> Content:
        """Put parts one behind the other, without copying those that lie so already."""
        if len(parts) == 1:
            return parts[0]
        if sum(map(len, parts)) <= IN_MEMORY_BYTES:
            return b"".join(chunk for part in parts for chunk in chunks_of(part))
        if _follow_one_another(parts) and isinstance(parts[0], SpooledContent):
            return SpooledContent(parts[0].file, parts[0].offset_bytes, sum(map(len, parts)))
        return self.store(chunk for part in parts for chunk in chunks_of(part))


def _follow_one_another(parts: list[Content]) -> bool:
    return all(
        isinstance(before, SpooledContent)
        and isinstance(after, SpooledContent)
        and before.offset_bytes + before.size_bytes == after.offset_bytes
        for before, after in pairwise(parts)
    )


class TextSink:
    """Takes the text of one element piece by piece, and never holds more than `IN_MEMORY_BYTES` of it."""

    __slots__ = ("_characters", "_parts", "_pieces", "_spool")

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._pieces: list[str] = []
        self._parts: list[Content] = []
        self._characters = 0

    def add(self, text: str) -> None:
        """Take one more piece."""
        self._pieces.append(text)
        self._characters += len(text)
        if self._characters > IN_MEMORY_BYTES:
            self._parts.append(self._spool.store([self._take()]))

    def content(self) -> Content | None:
        """Give the whole text as UTF-8, or None when it is empty or white space alone."""
        rest = self._take()
        if not self._parts:
            return rest if rest.strip() else None
        return self._spool.join([*self._parts, self._spool.store([rest])] if rest else self._parts)

    def _take(self) -> bytes:
        data = "".join(self._pieces).encode()
        self._pieces.clear()
        self._characters = 0
        return data
