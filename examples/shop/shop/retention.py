"""Which rows of the shop go when they are old: `ibutsu-tasks prune` takes them, and a task for each rule."""

from __future__ import annotations

from ibutsu_tasks.packages import RetentionRule

RULES = (
    RetentionRule(
        name="old-rates",
        table="shop_gold_rates",
        date_column="fetched_at",
        default_age_days=90,
        minimum_age_days=7,
        task="shop.pricing.remove_old_rates",
        help="gold rates, never the last one",
        where="shop.models:is_not_in_use",
    ),
    RetentionRule(
        name="old-executions",
        table="shop_report_executions",
        date_column="until",
        default_age_days=90,
        minimum_age_days=30,
        task="shop.reports.remove_old_executions",
        help="runs of reports",
    ),
    RetentionRule(
        name="old-deliveries",
        table="shop_deliveries",
        date_column="created_at",
        default_age_days=30,
        minimum_age_days=7,
        task="shop.webhooks.remove_old",
        help="webhooks that are over",
        where="shop.models:is_over",
    ),
)
