"""What the package brings: its queues, routes, schedule, settings, checks and tables."""

from __future__ import annotations

from environments.settings import SETTINGS
from ibutsu_tasks.packages import Check, Queue, Route, ScheduleRow, Subject, TaskPackage

LIFECYCLE = tuple(f"environments.{verb}_environment" for verb in ("provision", "update", "destroy"))

PACKAGE = TaskPackage(
    name="environments",
    tasks=("environments.tasks.lifecycle", "environments.tasks.cleanup"),
    queues=(Queue("environment"), Queue("cleanup")),
    routes=(Route("environments.*_environment", "environment"), Route("environments.*", "cleanup")),
    schedule=(
        ScheduleRow("stale-environments", "0 * * * *", "environments.cleanup_stale_environments"),
        ScheduleRow("old-environments", "30 3 * * *", "environments.cleanup_old_environments"),
        ScheduleRow("failed-environments", "*/15 * * * *", "environments.retry_failed_environments"),
    ),
    # Its logs name the environment, and what was lost over it is counted for it.
    subjects=(Subject("environment_id", LIFECYCLE),),
    settings=SETTINGS,
    checks=(
        Check("cluster", "ENV-K", "environments.checks:check_cluster"),
        Check("github", "ENV-G", "environments.checks:check_github"),
        Check("environments", "ENV-E", "environments.checks:check_environments", ("database",)),
    ),
    tables="environments.models:METADATA",
    reopen="environments.work:reopen",
)
