"""What `ibutsu-tasks doctor` looks at: programs and disk of this host, and jobs that are stuck."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from ibutsu_tasks.clock import utc_now
from ibutsu_tasks.doctor.checks.database import open_engine
from ibutsu_tasks.doctor.report import Finding, advice, well, wrong
from ibutsu_tasks.errors import SettingsError
from tools.models import Job
from tools.settings import OUTPUT_DIR
from tools.tasks.maintenance import free_and_total_bytes, missing_programs

if TYPE_CHECKING:
    from ibutsu_tasks.settings import Settings

SILENT_FOR = timedelta(minutes=5)
WAITING_FOR = timedelta(hours=1)

LEAST_FREE_BYTES = 2**30
LEAST_FREE_SHARE = 0.05


def check_programs(settings: Settings) -> list[Finding]:
    """See that the programs of all tools are on this host."""
    try:
        missing = missing_programs(settings)
    except SettingsError as error:
        return [wrong("TOOLS-P02", str(error), "Correct the file.")]
    if missing:
        seen = f"Programs of tools are not on this host: {', '.join(missing)}."
        return [wrong("TOOLS-P01", seen, "Install them where workers run, or name them by their whole path.")]
    return [well("TOOLS-P00", "The programs of all tools are on this host.")]


def check_disk(settings: Settings) -> list[Finding]:
    """See that there is room for output."""
    free, total = free_and_total_bytes(settings)
    seen = f"{free / 2**30:.1f} GiB are free for {settings.value(OUTPUT_DIR)}."
    if free < max(LEAST_FREE_BYTES, LEAST_FREE_SHARE * total):
        hint = (
            "Make room; `ibutsu-tasks enqueue tools.cleanup_old_jobs hours=1` removes jobs that have ended."
        )
        return [wrong("TOOLS-D01", seen, hint)]
    return [well("TOOLS-D00", seen)]


def check_jobs(settings: Settings) -> list[Finding]:
    """See that running jobs were seen lately, and that none waits for long."""
    now, count = utc_now(), select(func.count()).select_from(Job)
    is_silent = (Job.state == "running", Job.seen_at < now - SILENT_FOR)
    is_late = (Job.state == "queued", Job.queued_at < now - WAITING_FOR)
    engine = open_engine(settings)
    try:
        with Session(engine) as session:
            silent, late = (session.scalar(count.where(*rows)) or 0 for rows in (is_silent, is_late))
    finally:
        engine.dispose()
    if silent:
        seen = f"{silent} jobs are said to run and were not seen for {SILENT_FOR.seconds // 60} minutes."
        hint = "A worker for the queue tools begins them again; beat has those sent whose messages are lost."
        return [wrong("TOOLS-J01", seen, hint)]
    if late:
        seen = f"{late} jobs have been waiting for more than an hour."
        return [
            advice("TOOLS-J10", seen, "See `ibutsu-tasks queues`, and run more workers for the queue tools.")
        ]
    return [well("TOOLS-J00", "No job is stuck.")]
