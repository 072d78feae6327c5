"""What the runner brings: its queues, routes, schedule, settings, checks and tables."""

from __future__ import annotations

from ibutsu_tasks.packages import Canary, Check, Missed, Queue, Route, ScheduleRow, Subject, TaskPackage
from tools.settings import SETTINGS

PACKAGE = TaskPackage(
    name="tools",
    tasks=("tools.tasks.jobs", "tools.tasks.maintenance"),
    queues=(Queue("tools"), Queue("default"), Queue("maintenance")),
    routes=(
        Route("tools.run_tool", "tools"),
        Route("tools.health_check", "default"),
        Route("tools.*", "maintenance"),
    ),
    schedule=(
        ScheduleRow("clean-up-jobs", "30 3 * * *", "tools.cleanup_old_jobs", (48,)),
        ScheduleRow("tool-statistics", "5 * * * *", "tools.update_tool_statistics"),
        ScheduleRow("reconcile-jobs", "*/5 * * * *", "tools.reconcile_jobs", missed=Missed.SKIP),
        ScheduleRow("health", "*/5 * * * *", "tools.health_check", missed=Missed.SKIP),
    ),
    # Log lines and updates of a job name it.
    subjects=(Subject("job_id", ("tools.run_tool",)),),
    settings=SETTINGS,
    checks=(
        Check("programs", "TOOLS-P", "tools.checks:check_programs"),
        Check("disk", "TOOLS-D", "tools.checks:check_disk"),
        Check("jobs", "TOOLS-J", "tools.checks:check_jobs", ("database",)),
    ),
    canary=Canary("tools.health_check"),
    tables="tools.models:METADATA",
    reopen="tools.tasks.jobs:reopen",
)
