"""Tasks called `db` in messages: those that prune until the worker shuts down, and one that makes users."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from celery import shared_task

from ibutsu_tasks.ibutsu.operations import seeding
from ibutsu_tasks.ibutsu.operations.imports import content
from ibutsu_tasks.ibutsu.wire_names import (
    CLEAR_IMPORT_FILE_CONTENT,
    PRUNE_OLD_FILES,
    PRUNE_OLD_IMPORT_FILES,
    PRUNE_OLD_RESULTS,
    PRUNE_OLD_RUNS,
    SEED_USERS,
)
from ibutsu_tasks.tasks import DatabaseTask, prune

Number = int | str
"""The API's `POST /admin/run-task` may send numbers as strings."""


@shared_task(name=PRUNE_OLD_FILES, bind=True, base=DatabaseTask)
def prune_old_files(self: DatabaseTask, months: Number = 5) -> dict[str, Any]:
    """Delete artifacts uploaded more than `months` of 30 days ago."""
    return prune(self, "files", months).as_json()


@shared_task(name=PRUNE_OLD_RESULTS, bind=True, base=DatabaseTask)
def prune_old_results(self: DatabaseTask, months: Number = 6) -> dict[str, Any]:
    """Delete results, with their artifacts, that started more than `months` of 30 days ago."""
    return prune(self, "results", months).as_json()


@shared_task(name=PRUNE_OLD_RUNS, bind=True, base=DatabaseTask)
def prune_old_runs(self: DatabaseTask, months: Number = 12) -> dict[str, Any]:
    """Delete runs, with their results and artifacts, that started more than `months` of 30 days ago."""
    return prune(self, "runs", months).as_json()


@shared_task(name=PRUNE_OLD_IMPORT_FILES, bind=True, base=DatabaseTask)
def prune_old_import_files(self: DatabaseTask, days: Number = 7) -> str:
    """Delete import records, with their files, older than `days`; the answers are the Ibutsu server's own."""
    summary = prune(self, "imports", days)
    return (
        summary.skipped
        or f"Deleted {summary.deleted['imports']} import records older than {summary.older_than_days} days"
    )


@shared_task(name=CLEAR_IMPORT_FILE_CONTENT, bind=True, base=DatabaseTask)
def clear_import_file_content(self: DatabaseTask, import_id: str) -> str:
    """Drop the bytes of a finished import; its record stays."""
    with self.transaction() as (session, _):
        return content.clear_content(session, import_id)


@shared_task(name=SEED_USERS, bind=True, base=DatabaseTask)
def seed_users(self: DatabaseTask, projects: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Create missing users and make them owners and members of projects."""
    with self.transaction() as (session, _):
        return asdict(seeding.seed_users(session, projects))
