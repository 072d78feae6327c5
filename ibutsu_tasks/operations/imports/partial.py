"""What is kept of a file that breaks off or is bad in the middle, when its upload asks for that."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from ibutsu_tasks.importers.parsed import ParsedRun

PARTIAL = "partial"
"""Key in the data of an import: true asks for it, a sentence says what came of it. A run has the sentence."""


def keeps_partial(import_data: Mapping[str, Any]) -> bool:
    """Say whether an import asks for it; one that was partial before still does, so that it can run again."""
    return bool(import_data.get(PARTIAL))


def partial_sentence(run: ParsedRun, results: int) -> str | None:
    """Say where a file breaks and what is kept, once its rows are written; None when it does not break.

    Raises InvalidImportError when not one result is whole.
    """
    if run.break_error is None:
        return None
    if not results:
        raise run.break_error
    return f"{run.break_error} {kept_before(results)}"


def kept_before(results: int) -> str:
    """Say how many test cases are kept."""
    return (
        "The one test case before that was kept."
        if results == 1
        else f"The {results:,} test cases before that were kept."
    )
