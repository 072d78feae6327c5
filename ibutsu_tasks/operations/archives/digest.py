"""Count and checksum of the rows of an archive, the same for rows read from the database and from a file."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ibutsu_tasks.importers.parsed import Columns


@dataclass(frozen=True, slots=True)
class Tally:
    """What an archive holds. `checksum` is a SHA-256 over every column and content, in order."""

    results: int
    artifacts: int
    checksum: str


@dataclass(slots=True)
class RowDigest:
    """Takes rows one after the other."""

    _results: int = 0
    _artifacts: int = 0
    _hash: Any = field(default_factory=sha256)

    def add_run(self, columns: Columns) -> None:
        """Take the run, which comes first."""
        self._add("run", columns)

    def add_result(self, columns: Columns) -> None:
        """Take a result."""
        self._results += 1
        self._add("result", columns)

    def add_artifact(self, columns: Columns, chunks: Iterable[bytes]) -> None:
        """Take an artifact with its content."""
        self._artifacts += 1
        self._add("artifact", columns)
        content = sha256()
        for chunk in chunks:
            content.update(chunk)
        self._hash.update(content.digest())

    def tally(self) -> Tally:
        """Give what was taken so far."""
        return Tally(self._results, self._artifacts, self._hash.hexdigest())

    def _add(self, kind: str, columns: Columns) -> None:
        named = json.dumps([kind, columns], sort_keys=True, default=_text)
        self._hash.update(named.encode())


def _text(value: object) -> str:
    return f"{type(value).__name__} {value}"
