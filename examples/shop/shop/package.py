"""What the shop brings: its queues, routes, schedule, settings, checks, retention rules and tables."""

from __future__ import annotations

from ibutsu_tasks.packages import Check, Missed, Queue, Route, ScheduleRow, Subject, TaskPackage
from shop.retention import RULES
from shop.settings import SETTINGS

SUBJECTS = (
    "events",
    "backups",
    "pricing",
    "reports",
    "notifications",
    "accounting",
    "monitoring",
    "webhooks",
)
QUEUES = ("celery", "backups", "pricing", "reports", "notifications", "accounting", "monitoring", "webhooks")

# Redis keeps four lists for each queue, so that these are the four priorities it tells apart.
URGENT, NORMAL, LATER, LAST = 9, 6, 3, 0

# What looks at the world as it is now has no use for a look that was missed.
SKIP = Missed.SKIP

PACKAGE = TaskPackage(
    name="shop",
    tasks=tuple(f"shop.tasks.{subject}" for subject in SUBJECTS),
    queues=tuple(Queue(name) for name in QUEUES),
    # Events have no route: they go to Celery's default queue, `celery`.
    routes=(
        Route("shop.monitoring.*", "monitoring", URGENT),
        Route("shop.webhooks.*", "webhooks", URGENT),
        Route("shop.backups.*", "backups", NORMAL),
        Route("shop.accounting.*", "accounting", NORMAL),
        Route("shop.pricing.*", "pricing", NORMAL),
        Route("shop.notifications.*", "notifications", NORMAL),
        Route("shop.reports.*", "reports", LATER),
    ),
    schedule=(
        ScheduleRow("backup-database", "0 2 * * *", "shop.backups.dump"),
        ScheduleRow("backup-tenants", "0 3 * * 0", "shop.backups.dump_tenants"),
        ScheduleRow("archive-wal", "0 * * * *", "shop.backups.archive_wal"),
        ScheduleRow("backup-configuration", "0 4 * * *", "shop.backups.copy_configuration"),
        ScheduleRow("check-backups", "0 * * * *", "shop.backups.check"),
        ScheduleRow("gold-rates", "*/5 * * * *", "shop.pricing.fetch_rate", missed=SKIP, priority=URGENT),
        ScheduleRow("prices", "0 2 * * *", "shop.pricing.set_prices"),
        ScheduleRow("clean-up-rates", "0 3 * * *", "shop.pricing.remove_old_rates", priority=LAST),
        ScheduleRow("scheduled-reports", "*/15 * * * *", "shop.reports.start_due"),
        ScheduleRow("clean-up-report-files", "30 4 * * *", "shop.reports.remove_old_files", priority=LAST),
        ScheduleRow("clean-up-executions", "0 5 * * 0", "shop.reports.remove_old_executions", priority=LAST),
        ScheduleRow("next-report-runs", "0 1 * * *", "shop.reports.plan_next_runs"),
        ScheduleRow("usage-report", "0 6 * * 1", "shop.reports.write_usage"),
        ScheduleRow("depreciation", "0 1 1 * *", "shop.accounting.depreciate"),
        ScheduleRow("system-metrics", "*/5 * * * *", "shop.monitoring.measure", missed=SKIP),
        ScheduleRow("service-health", "*/5 * * * *", "shop.monitoring.look_at_services", missed=SKIP),
        ScheduleRow("escalations", "*/5 * * * *", "shop.monitoring.escalate", missed=SKIP),
        ScheduleRow("auto-resolve", "*/10 * * * *", "shop.monitoring.resolve", missed=SKIP),
        ScheduleRow("retry-webhooks", "* * * * *", "shop.webhooks.retry_due", missed=SKIP),
        ScheduleRow("clean-up-deliveries", "0 4 * * 0", "shop.webhooks.remove_old", priority=LAST),
    ),
    subjects=(
        Subject("tenant_id", ("shop.backups.dump_tenant",)),
        Subject("execution_id", ("shop.reports.run",)),
        Subject("delivery_id", ("shop.webhooks.deliver",)),
    ),
    settings=SETTINGS,
    checks=(
        Check("backups", "SHOP-B", "shop.checks:check_backups", ("database",)),
        Check("rates", "SHOP-R", "shop.checks:check_rates", ("database",)),
        Check("webhooks", "SHOP-W", "shop.checks:check_webhooks", ("database",)),
    ),
    retention=RULES,
    tables="shop.models:METADATA",
    reopen="shop.tasks.webhooks:reopen",
)
