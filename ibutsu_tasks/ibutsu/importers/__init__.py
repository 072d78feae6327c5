"""From the bytes of a report to the rows of a run; no database, no Celery."""

from ibutsu_tasks.ibutsu.importers.detection import detect_format
from ibutsu_tasks.ibutsu.importers.formats import reader_of

__all__ = ["detect_format", "reader_of"]
