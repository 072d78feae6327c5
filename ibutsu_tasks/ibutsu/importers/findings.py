"""What an importer reports to the user besides the rows: one sentence per kind of finding."""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING

from ibutsu_tasks.ibutsu.importers.parsed import Stored
from ibutsu_tasks.text.quoting import cut

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_SENTENCES = 20
MAX_STORED = 100
SHOWN_CHARACTERS = 120
_UNSHOWABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]+")


def shown(text: str) -> str:
    """Make text of a file fit for a sentence: one line, no control characters, at most 120 characters.

    PostgreSQL cannot store NUL or lone surrogates, and these sentences end up in a JSON column.
    """
    return _UNSHOWABLE.sub("\ufffd", cut(text, SHOWN_CHARACTERS))


class Findings:
    """The warnings of one import. However often a kind occurs, its first case is reported, with a count."""

    def __init__(self) -> None:
        self._first: dict[str, str] = {}
        self._count: dict[str, int] = {}
        self._stored: dict[tuple[str, str], Stored] = {}

    def note(self, kind: str, sentence: str, times: int = 1) -> None:
        """Record occurrences; `sentence` has no full stop and is shown only for the first of its kind."""
        self._first.setdefault(kind, sentence)
        self._count[kind] = self._count.get(kind, 0) + times

    def knows(self, kind: str) -> bool:
        """Tell whether the kind occurred before, to spare the making of a sentence nobody reads."""
        return kind in self._first

    def count_stored(self, what: str, where: str, line: Callable[[], int]) -> None:
        """Count one more of what is stored beside rows; `line` is asked for where the first one is."""
        what = shown(what)
        stored = self._stored.get((what, where))
        if stored is not None:
            stored.count += 1
        elif len(self._stored) < MAX_STORED:
            self._stored[what, where] = Stored(what, where, line())

    def stored(self) -> list[Stored]:
        """Give at most `MAX_STORED` kinds of what is stored beside rows, in the order of first occurrence."""
        return list(self._stored.values())

    def sentences(self) -> list[str]:
        """Give at most `MAX_SENTENCES` sentences, in the order of first occurrence."""
        counted = ((first, self._count[kind]) for kind, first in islice(self._first.items(), MAX_SENTENCES))
        return [f"{first}." if count == 1 else f"{first} ({count:,} in all)." for first, count in counted]
