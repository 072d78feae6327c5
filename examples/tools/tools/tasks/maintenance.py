"""Old jobs go, what was run is counted, and the runner says how it is."""

from __future__ import annotations

import json
import shutil
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from celery import shared_task
from sqlalchemy import delete, func, select, text
from sqlalchemy.dialects.postgresql import insert

from ibutsu_tasks.clock import utc_now
from ibutsu_tasks.errors import RefusedError
from ibutsu_tasks.tasks import DatabaseTask, Policy, reconcile
from tools.files import remove_of
from tools.jobs import JobRows
from tools.models import Job, Statistics
from tools.process import find_program
from tools.registry import all_tools
from tools.settings import OUTPUT_DIR, STUCK_SECONDS

if TYPE_CHECKING:
    from pathlib import Path

    from ibutsu_tasks.settings import Settings

JOBS_PER_BATCH = 100

HEALTH_KEY = "tools:health"
HEALTH_KEPT_SECONDS = 900

COUNTED_FOR = timedelta(hours=47)
"""Hours younger than this are counted anew each time; their jobs are all still there."""


@shared_task(
    name="tools.cleanup_old_jobs", bind=True, base=DatabaseTask, policy=Policy(time_limit_seconds=3600)
)
def cleanup_old_jobs(self: DatabaseTask, hours: float = 48) -> int:
    """Remove the jobs that ended so long ago, with their logs and files; give their number."""
    if not hours >= 1:
        raise RefusedError("Jobs are kept for an hour at least: give a number of hours from 1.")
    output: Path = self.resources.settings.value(OUTPUT_DIR)
    old = select(Job).where(Job.ended_at < utc_now() - timedelta(hours=hours)).limit(JOBS_PER_BATCH)
    number = 0
    while True:
        with self.session() as session:
            jobs = session.scalars(old.with_for_update(skip_locked=True)).all()
            for job in jobs:
                # The files first: what is left of a removal that was killed is found again by its row.
                remove_of(output, job.id)
            session.execute(delete(Job).where(Job.id.in_([job.id for job in jobs])))
        number += len(jobs)
        if len(jobs) < JOBS_PER_BATCH:
            return number


@shared_task(name="tools.reconcile_jobs", bind=True, base=DatabaseTask)
def reconcile_jobs(self: DatabaseTask) -> dict[str, int]:
    """Send jobs again whose messages are nowhere; give how many were sent, and how many left alone."""
    return reconcile(self, JobRows(), self.resources.settings.value(STUCK_SECONDS))


@shared_task(name="tools.update_tool_statistics", bind=True, base=DatabaseTask)
def update_tool_statistics(self: DatabaseTask) -> int:
    """Count the jobs of each tool by the hour in which they ended; give the number of rows written."""
    hour = func.date_trunc("hour", Job.ended_at)
    completed = Job.state == "completed"
    counted = (
        select(
            Job.tool,
            hour,
            func.count().filter(completed),
            func.count().filter(Job.state == "failed"),
            func.count().filter(Job.state == "cancelled"),
            func.avg(Job.duration_seconds).filter(completed),
            func.max(Job.duration_seconds).filter(completed),
        )
        .where(Job.ended_at >= func.date_trunc("hour", utc_now() - COUNTED_FOR))
        .group_by(Job.tool, hour)
    )
    columns = [column.name for column in Statistics.__table__.columns]
    rows = insert(Statistics).from_select(columns, counted)
    newest = {name: rows.excluded[name] for name in columns[2:]}
    with self.session() as session:
        done = rows.on_conflict_do_update(index_elements=columns[:2], set_=newest).returning(Statistics.tool)
        return len(session.execute(done).all())


@shared_task(name="tools.health_check", bind=True, base=DatabaseTask, policy=Policy(time_limit_seconds=60))
def health_check(self: DatabaseTask) -> dict[str, Any]:
    """Say how the runner is on this worker's host; the last answer is in the cache, too."""
    settings = self.resources.settings
    with self.session() as session:
        session.execute(text("select 1"))
        at_work = session.scalar(select(func.count()).select_from(Job).where(Job.state == "running"))
    health = {
        "at": utc_now().isoformat(timespec="seconds"),
        "running_jobs": at_work,
        "missing_programs": missing_programs(settings),
        "free_bytes": free_and_total_bytes(settings)[0],
    }
    if not self.request.is_eager:
        self.resources.cache.set(HEALTH_KEY, json.dumps(health), ex=HEALTH_KEPT_SECONDS)
    return health


def missing_programs(settings: Settings) -> list[str]:
    """Name the programs of tools that are not on this host. Raises SettingsError as `all_tools`."""
    programs = {tool.command[0] for tool in all_tools(settings).values()}
    return sorted(program for program in programs if find_program(program) is None)


def free_and_total_bytes(settings: Settings) -> tuple[int, int]:
    """Measure the disk of the output directory, be it made or not."""
    path: Path = settings.value(OUTPUT_DIR).absolute()
    disk = shutil.disk_usage(next(one for one in (path, *path.parents) if one.exists()))
    return disk.free, disk.total
