"""What an importer reports to the user besides the rows: one sentence per kind of finding."""

from __future__ import annotations

import re

from ibutsu_tasks.importers.parsed import Kept

MAX_SENTENCES = 20
MAX_KEPT = 100
SHOWN_CHARACTERS = 120
_UNSHOWABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]+")


def shown(text: str) -> str:
    """Make text of a file fit for a sentence: one line, no control characters, at most 120 characters.

    PostgreSQL cannot store NUL or lone surrogates, and these sentences end up in a JSON column.
    """
    cut = text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…"
    return _UNSHOWABLE.sub("\ufffd", cut)


class Findings:
    """The warnings of one import. However often a kind occurs, its first case is reported, with a count."""

    def __init__(self) -> None:
        self._first: dict[str, str] = {}
        self._count: dict[str, int] = {}
        self._kept: dict[tuple[str, str], Kept] = {}

    def note(self, kind: str, sentence: str) -> None:
        """Record one occurrence; `sentence` has no full stop and is kept only for the first of its kind."""
        self._first.setdefault(kind, sentence)
        self._count[kind] = self._count.get(kind, 0) + 1

    def knows(self, kind: str) -> bool:
        """Tell whether the kind occurred before, to spare the making of a sentence nobody reads."""
        return kind in self._first

    def add(self, kind: str, count: int) -> None:
        """Count further occurrences of a kind that `note` has introduced."""
        self._count[kind] += count

    def counts_kept(self, what: str, where: str) -> bool:
        """Count one more of what was kept; False for the first, whose line `keep` takes."""
        kept = self._kept.get((what, where))
        if kept is None:
            return len(self._kept) >= MAX_KEPT
        kept.count += 1
        return True

    def keep(self, what: str, where: str, line: int) -> None:
        """Record the first of what was kept."""
        self._kept[what, where] = Kept(shown(what), where, line)

    def kept(self) -> list[Kept]:
        """Give what was kept, at most `MAX_KEPT` kinds of it, in the order of first occurrence."""
        return list(self._kept.values())

    def sentences(self) -> list[str]:
        """Give at most `MAX_SENTENCES` sentences, in the order of first occurrence."""
        sentences = [_sentence(self._first[kind], self._count[kind]) for kind in self._first]
        return sentences[:MAX_SENTENCES]


def _sentence(first: str, count: int) -> str:
    return f"{first}." if count == 1 else f"{first} ({count:,} in all)."
