"""The formats that task packages bring: which there are, and what reads and imports each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ibutsu_tasks.errors import UsageError
from ibutsu_tasks.packages import loaded, resolve

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ibutsu_tasks.ibutsu.importers.parsed import Reader
    from ibutsu_tasks.packages import Importer

JUNIT, ARCHIVE = "junit", "archive"
"""Ibutsu's own."""


def formats() -> Mapping[str, Importer]:
    """Give the importers by the names of their formats. Raises UsageError when there are none."""
    if importers := loaded().importers:
        return importers
    raise UsageError(
        "No task package that is loaded brings a format to import.",
        "Ibutsu's brings JUnit XML and archives: do not leave it out by IBUTSU_TASKS_WITHOUT_PACKAGES.",
    )


def reader_of(format_name: str) -> Reader:
    """Give what reads a format. Raises what the import of its module raises."""
    reader: Reader = resolve(formats()[format_name].reads)
    return reader


def format_of(task: str | None) -> str | None:
    """Name the format that a task imports; None for a task that imports nothing."""
    return next((name for name, one in loaded().importers.items() if one.task == task), None)


def expected() -> str:
    """Name what can be imported, as the end of a sentence."""
    *others, last = map(str, formats().values())
    return f"expected {', '.join(others)} or {last}" if others else f"expected {last}"
