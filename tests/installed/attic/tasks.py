from __future__ import annotations

from typing import Any

from celery import shared_task

from ibutsu_tasks.tasks import DatabaseTask, prune


@shared_task(name="attic.clear", bind=True, base=DatabaseTask)
def clear(self: DatabaseTask, days: int = 30) -> dict[str, Any]:
    """Delete boxes that nobody keeps."""
    return prune(self, "old-boxes", days).as_json()


@shared_task(name="attic.forget", bind=True, base=DatabaseTask)
def forget(self: DatabaseTask, months: int = 12) -> dict[str, Any]:
    """Delete days, never the last one."""
    return prune(self, "old-days", months).as_json()
