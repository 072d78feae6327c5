"""Tasks about the results of a run."""

from __future__ import annotations

from celery import shared_task

from ibutsu_tasks.errors import BusyError
from ibutsu_tasks.operations import run_summary
from ibutsu_tasks.run_lock import RunLock
from ibutsu_tasks.tasks.base import DatabaseTask
from ibutsu_tasks.wire_names import ADD_RESULT_START_TIME


@shared_task(name=ADD_RESULT_START_TIME, bind=True, base=DatabaseTask)
def add_result_start_time(self: DatabaseTask, run_id: str) -> dict[str, int]:
    """Give every result of a run that has no start time the run's, under the run's lock."""
    if self.request.is_eager:
        return _fill(self, run_id)
    with RunLock(self.resources.redis, run_id).try_hold() as held:
        if held:
            return _fill(self, run_id)
    raise BusyError(f"Run {run_id} is being updated by another task.")


def _fill(task: DatabaseTask, run_id: str) -> dict[str, int]:
    with task.transaction() as (session, _):
        return {"results": run_summary.fill_start_times(session, run_id)}
