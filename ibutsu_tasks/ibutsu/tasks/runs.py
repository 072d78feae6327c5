"""Tasks that keep the summaries of runs, and the times of their results, right."""

from __future__ import annotations

from typing import Any

from celery import shared_task

from ibutsu_tasks.errors import BusyError
from ibutsu_tasks.ibutsu.operations import run_summary
from ibutsu_tasks.ibutsu.run_lock import QUIET_SECONDS, RunLock
from ibutsu_tasks.ibutsu.wire_names import ADD_RESULT_START_TIME, SYNC_ABORTED_RUNS, UPDATE_RUN
from ibutsu_tasks.tasks.base import DatabaseTask

RECHECK_HEADER = "ibutsu_tasks_recheck"
"""Marks a message sent to look again, as opposed to one that says the run changed."""

SYNC_COUNTDOWN_SECONDS = 5


@shared_task(name=UPDATE_RUN, bind=True, base=DatabaseTask)
def update_run(self: DatabaseTask, run_id: str) -> dict[str, Any] | None:
    """Recompute a run's summary from its results; a run that does not exist is no error."""
    if self.request.is_eager:
        return _refresh(self, run_id)
    if not run_summary.may_exist(self.resources.kept_connection, run_id):
        return None
    lock = RunLock(self.resources.redis, run_id)
    if (self.request.headers or {}).get(RECHECK_HEADER):
        if lock.must_wait_longer():
            _send_recheck(self, run_id)
            return None
        lock.end_recheck()
    else:
        lock.write_note()
        if lock.is_in_burst():
            _look_again_later(self, lock, run_id)
            return None
    return _pass_once(self, lock, run_id)


def _pass_once(task: DatabaseTask, lock: RunLock, run_id: str) -> dict[str, Any] | None:
    note = lock.begin_pass()
    if note is None:
        return None
    with lock.try_hold(str(task.request.id)) as held:
        summary = _refresh_or_undo(task, lock, run_id) if held else None
    if not held or not lock.settle_note(note):
        # Not at once: what changed meanwhile may keep changing, and its last pass sees it all.
        _look_again_later(task, lock, run_id)
    return summary


def _refresh_or_undo(task: DatabaseTask, lock: RunLock, run_id: str) -> dict[str, Any] | None:
    try:
        return _refresh(task, run_id)
    except Exception:
        lock.undo_pass()
        raise


def _refresh(task: DatabaseTask, run_id: str) -> dict[str, Any] | None:
    with task.transaction() as (session, _):
        return run_summary.refresh(session, run_id)


def _look_again_later(task: DatabaseTask, lock: RunLock, run_id: str) -> None:
    if lock.claim_recheck(str(task.request.id)):
        _send_recheck(task, run_id)


def _send_recheck(task: DatabaseTask, run_id: str) -> None:
    task.send_now(UPDATE_RUN, run_id, pause_seconds=QUIET_SECONDS, headers={RECHECK_HEADER: True})


@shared_task(name=SYNC_ABORTED_RUNS, bind=True, base=DatabaseTask)
def sync_aborted_runs(self: DatabaseTask) -> dict[str, int]:
    """Send `update_run` for every recent run whose summary does not count its results."""
    with self.transaction() as (session, follow_ups):
        run_ids = run_summary.find_out_of_step(session)
        for run_id in run_ids:
            follow_ups.send(UPDATE_RUN, str(run_id), pause_seconds=SYNC_COUNTDOWN_SECONDS)
    return {"runs": len(run_ids)}


@shared_task(name=ADD_RESULT_START_TIME, bind=True, base=DatabaseTask)
def add_result_start_time(self: DatabaseTask, run_id: str) -> dict[str, int]:
    """Give every result of a run that has no start time the run's, under the run's lock."""
    if self.request.is_eager:
        return _fill(self, run_id)
    with RunLock(self.resources.redis, run_id).try_hold(str(self.request.id)) as held:
        if held:
            return _fill(self, run_id)
    raise BusyError(f"Run {run_id} is being updated by another task.")


def _fill(task: DatabaseTask, run_id: str) -> dict[str, int]:
    with task.transaction() as (session, _):
        return {"results": run_summary.fill_start_times(session, run_id)}
