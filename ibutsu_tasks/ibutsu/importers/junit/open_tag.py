"""The tag at which the text read so far ends: expat needs 200 bytes for each of its attributes."""

from __future__ import annotations

import re

MAX_ATTRIBUTES = 100_000
"""Of one tag. Dialects have a dozen; so many take 25 MB, and a tag of 16 MiB could have 1.2 million."""

_OUTSIDE_OF_VALUES = re.compile(rb"[\"'>]")


class OpenTag:
    """Counts the attributes of a tag while it is read; `text` is its beginning, and empty for no tag."""

    def __init__(self, start: int, text: bytes) -> None:
        self.start = start
        self._quotes = 0
        self._quote = b""
        self._is_over = not text or text[1:2] in {b"!", b"?"}
        self.add(text)

    @property
    def has_too_many_attributes(self) -> bool:
        """Say whether it has more than any report needs."""
        return self._quotes > 2 * MAX_ATTRIBUTES

    def add(self, text: bytes) -> None:
        """Read on, to the end of the tag at most."""
        position = 0
        while not self._is_over:
            position = self._next(text, position) + 1
            if not position or self.has_too_many_attributes:
                return
            sign = text[position - 1 : position]
            self._is_over = sign == b">"
            self._quotes += not self._is_over
            self._quote = b"" if self._quote else sign

    def _next(self, text: bytes, position: int) -> int:
        if self._quote:
            return text.find(self._quote, position)
        match = _OUTSIDE_OF_VALUES.search(text, position)
        return match.start() if match else -1


NO_TAG = OpenTag(-1, b"")
