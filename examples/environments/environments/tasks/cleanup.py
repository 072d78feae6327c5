"""What nobody asked for: environments that are stuck, old or failed."""

from __future__ import annotations

from datetime import timedelta

from celery import shared_task
from sqlalchemy import delete, select

from environments.cluster import Cluster
from environments.models import AT_WORK, Environment, State
from environments.work import HARD_MINUTES, ONCE
from ibutsu_tasks.clock import utc_now
from ibutsu_tasks.errors import RefusedError
from ibutsu_tasks.tasks import DatabaseTask

STUCK_AFTER = timedelta(minutes=HARD_MINUTES)
"""No task lives longer."""


@shared_task(name="environments.cleanup_stale_environments", bind=True, base=DatabaseTask, policy=ONCE)
def cleanup_stale_environments(self: DatabaseTask) -> dict[str, int]:
    """End as FAILED what no task has any more, and what is READY without a namespace; give their numbers."""
    with self.session() as session:
        is_stuck = (Environment.state.in_(AT_WORK), Environment.changed_at < utc_now() - STUCK_AFTER)
        stuck = session.scalars(select(Environment).where(*is_stuck).with_for_update(skip_locked=True)).all()
        for environment in stuck:
            # Whoever may still be at it has no say from here on.
            environment.task_id = None
            minutes = int(STUCK_AFTER.total_seconds() // 60)
            environment.enter(State.FAILED, f"It was {environment.state} for more than {minutes} minutes.")
    with self.session() as session:
        ready = session.scalars(select(Environment).where(Environment.state == State.READY)).all()
    # Looked at after the rows: what was READY then has a namespace now, unless it is gone.
    with Cluster(self.resources.settings) as cluster:
        there = cluster.namespaces() if ready else frozenset()
    gone = [environment.id for environment in ready if environment.namespace not in there]
    is_gone = (Environment.id.in_(gone), Environment.state == State.READY)
    with self.session() as session:
        lost = session.scalars(select(Environment).where(*is_gone).with_for_update(skip_locked=True)).all()
        for environment in lost:
            environment.enter(State.FAILED, f"Its namespace {environment.namespace} is gone.")
    return {"stuck": len(stuck), "without_namespace": len(lost)}


@shared_task(name="environments.cleanup_old_environments", bind=True, base=DatabaseTask, policy=ONCE)
def cleanup_old_environments(self: DatabaseTask, days: int = 7) -> dict[str, int]:
    """Have destroyed what has not changed for so long, and remove rows of what was; give their numbers."""
    if not days >= 1:
        raise RefusedError("Environments are kept for a day at least: give a number of days from 1.")
    is_old = Environment.changed_at < utc_now() - timedelta(days=days)
    is_at_rest = Environment.state.not_in({State.DESTROYED, *AT_WORK})
    with self.transaction() as (session, follow_ups):
        old = session.scalars(select(Environment.id).where(is_old, is_at_rest)).all()
        for environment_id in old:
            follow_ups.send("environments.destroy_environment", str(environment_id))
        over = delete(Environment).where(is_old, Environment.state == State.DESTROYED)
        removed = session.execute(over.returning(Environment.id)).all()
    return {"to_destroy": len(old), "rows_removed": len(removed)}


@shared_task(name="environments.retry_failed_environments", bind=True, base=DatabaseTask, policy=ONCE)
def retry_failed_environments(self: DatabaseTask, max_age_hours: float = 1) -> int:
    """Try again what began to fail within so many hours, towards what was wanted of it; give the number."""
    is_recent = Environment.failing_since >= utc_now() - timedelta(hours=max_age_hours)
    with self.transaction() as (session, follow_ups):
        failed = session.scalars(
            select(Environment).where(Environment.state == State.FAILED, is_recent)
        ).all()
        for environment in failed:
            verb = "provision" if environment.is_wanted else "destroy"
            follow_ups.send(f"environments.{verb}_environment", str(environment.id))
    return len(failed)
