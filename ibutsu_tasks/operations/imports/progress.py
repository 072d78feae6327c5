"""The progress of an import: reported whenever a piece of its file is read, and with every few rows."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import IO

OnProgress = Callable[[int, int, int], None]
"""Takes the number of test cases done, the bytes of the file that were read, and how many it has."""


class WatchedContent:
    """The content of an import, at position 0, that reports how far it was read.

    A file may be looked into before it is read, and read again where that is needed: it has been read to the
    farthest position there was since `start`.
    """

    def __init__(self, content: IO[bytes], on_progress: OnProgress) -> None:
        self._content = content
        self._on_progress = on_progress
        self._is_started = False
        self._read_bytes = 0
        self._results = 0
        self._size_bytes = content.seek(0, os.SEEK_END)
        content.seek(0)
        self._report()

    def start(self) -> None:
        """Count what is read from now on."""
        self._is_started = True

    def read(self, size: int = -1, /) -> bytes:
        """Read as the file does, and report."""
        data = self._content.read(size)
        if self._is_started:
            self._read_bytes = max(self._read_bytes, self._content.tell())
        self._report()
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Go to a position as the file does."""
        return self._content.seek(offset, whence)

    def tell(self) -> int:
        """Give the position in the file."""
        return self._content.tell()

    def wrote(self, results: int) -> None:
        """Report how many test cases are done."""
        # A batch on its way to the database is in none of the numbers.
        self._results = max(self._results, results)
        self._report()

    def _report(self) -> None:
        self._on_progress(self._results, self._read_bytes, self._size_bytes)
