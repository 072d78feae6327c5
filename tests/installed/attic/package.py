from __future__ import annotations

from ibutsu_tasks.packages import RetentionRule, ScheduleRow, TaskPackage

PACKAGE = TaskPackage(
    name="attic",
    tasks=("attic.tasks",),
    schedule=(ScheduleRow("clear-the-attic", "0 3 * * *", "attic.clear", (30,)),),
    tables="attic.models:METADATA",
    schema="attic.hooks:judge",
    broker_metrics="attic.hooks:of_broker",
    retention=(
        RetentionRule(
            name="old-boxes",
            table='Odd "boxes" of 100%',
            date_column="Packed at",
            default_age_days=30,
            minimum_age_days=7,
            task="attic.clear",
            help="boxes that nobody keeps, with their things",
            where="attic.conditions:is_not_kept",
        ),
        RetentionRule(
            name="old-days",
            table="attic_days",
            date_column="day",
            default_age_days=360,
            minimum_age_days=30,
            unit="months",
            task="attic.forget",
            help="days, never the last one",
            where="attic.conditions:is_not_the_newest",
        ),
    ),
)
