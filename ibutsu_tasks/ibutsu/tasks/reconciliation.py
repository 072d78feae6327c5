"""The task of our own that finds lost imports; beat sends it to the queue that only our workers consume."""

from __future__ import annotations

from celery import shared_task

from ibutsu_tasks.ibutsu.operations.imports.reconciliation import ImportRows
from ibutsu_tasks.ibutsu.settings import IMPORT_STUCK_SECONDS
from ibutsu_tasks.ibutsu.wire_names import RECONCILE_IMPORTS
from ibutsu_tasks.tasks import DatabaseTask
from ibutsu_tasks.tasks.reconciliation import reconcile


@shared_task(name=RECONCILE_IMPORTS, bind=True, base=DatabaseTask)
def reconcile_imports(self: DatabaseTask) -> dict[str, int]:
    """Send every lost import again, or end it when its content is gone; leave alone what may be alive."""
    return reconcile(self, ImportRows(), self.resources.settings.value(IMPORT_STUCK_SECONDS))
