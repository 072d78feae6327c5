"""Rules of which a prune can run none."""

from __future__ import annotations

from ibutsu_tasks.packages import RetentionRule, TaskPackage

TABLES = {
    "no-table": ("attic_cellars", "made_at"),
    "no-column": ("attic_shelves", "built_at"),
    "no-date": ("attic_shelves", "colour"),
    "days-in-a-row": ("attic_shelves", "lent"),
    "two-keys": ("attic_visits", "at"),
    "two-keys-below": ("attic_shelves", "made_at"),
    "of-itself": ("attic_nodes", "made_at"),
    "in-a-circle": ("attic_hens", "hatched_at"),
    "of-another-schema": ("attic.ladders", "made_at"),
    "more-than-the-key": ("attic_rooms", "built_at"),
}
CONDITIONS = ("raises", "exits", "gives_a_text", "is_nowhere")


OWN_AGES = ("no_ages_but_raises", "no_ages_but_exits", "no_ages_but_a_text")


def _rule(name: str, table: str, date_column: str, **functions: str) -> RetentionRule:
    return RetentionRule(
        name=name,
        table=table,
        date_column=date_column,
        default_age_days=30,
        minimum_age_days=1,
        task=f"attic.{name}",
        help="nothing",
        **functions,  # type: ignore[arg-type]
    )


PACKAGE = TaskPackage(
    name="wrong",
    tables="attic.lumber:METADATA",
    retention=(
        *(_rule(name, *place) for name, place in TABLES.items()),
        *(_rule(name, "attic_logs", "made_at", where=f"attic.conditions:{name}") for name in CONDITIONS),
        *(_rule(name, "attic_logs", "made_at", own_ages=f"attic.conditions:{name}") for name in OWN_AGES),
    ),
)
