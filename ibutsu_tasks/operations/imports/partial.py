"""What is kept of a file that breaks off or is bad in the middle, when its upload asks for that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ibutsu_tasks.errors import InvalidImportError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from ibutsu_tasks.importers.parsed import ParsedArtifact, ParsedResult, ParsedRun

PARTIAL = "partial"
"""Key in the data of an import: true asks for it, a sentence says what came of it. A run has the sentence."""


def keeps_partial(import_data: Mapping[str, Any]) -> bool:
    """Say whether an import asks for it; one that was partial before still does, so that it can run again."""
    return bool(import_data.get(PARTIAL))


class WholeRows:
    """The rows of a file; when `keeps_partial`, they end where it breaks."""

    def __init__(self, parsed: ParsedRun, *, keeps_partial: bool) -> None:
        self._rows = parsed.rows
        self._keeps_partial = keeps_partial
        self._break: InvalidImportError | None = None

    def __iter__(self) -> Iterator[ParsedResult | ParsedArtifact]:
        """Raise InvalidImportError where the file breaks, unless what is whole is kept."""
        try:
            yield from self._rows
        except InvalidImportError as error:
            if not self._keeps_partial:
                raise
            self._break = error

    def sentence(self, results: int) -> str | None:
        """Say where the file broke and what is kept, once the rows are written; None when it did not.

        Raises InvalidImportError when not one result is whole.
        """
        if self._break is None:
            return None
        if not results:
            raise self._break
        return f"{self._break} {kept_before(results)}"


def kept_before(results: int) -> str:
    """Say how many test cases are kept."""
    return (
        "The one test case before that was kept."
        if results == 1
        else f"The {results:,} test cases before that were kept."
    )
