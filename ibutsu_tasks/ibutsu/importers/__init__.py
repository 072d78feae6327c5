"""From the bytes of a report to the rows of a run; no database, no Celery."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ibutsu_tasks.ibutsu.importers.archive.reader import parse_archive
from ibutsu_tasks.ibutsu.importers.detection import detect_format
from ibutsu_tasks.ibutsu.importers.junit.reader import parse_junit

if TYPE_CHECKING:
    from ibutsu_tasks.ibutsu.importers.parsed import Importer

__all__ = ["IMPORTERS", "detect_format"]

IMPORTERS: dict[str, Importer] = {
    "junit": parse_junit,
    "archive": parse_archive,
}
