from __future__ import annotations

from typing import Any

from celery import shared_task

from ibutsu_tasks.ibutsu.tasks.imports import ImportTask


@shared_task(name="tap.import", bind=True, base=ImportTask)
def import_tap(self: ImportTask, import_: dict[str, Any]) -> dict[str, Any]:
    """Import a file of the Test Anything Protocol."""
    return self.import_file(import_)
