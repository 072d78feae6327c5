"""What `prune` shows: the plan, and what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ibutsu_tasks.cli.output import format_bytes, format_moment, format_seconds
from ibutsu_tasks.retention import RULES_BY_NAME

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ibutsu_tasks.cli.output import Output
    from ibutsu_tasks.operations.prune_results import PrunePlan, PruneSummary


def show_plans(output: Output, plans: Sequence[PrunePlan]) -> None:
    """Write one line per table: what would go, how old it is, how much it holds."""
    cells = [
        [
            plan.rule,
            table.table,
            f"{table.rows:,}",
            format_moment(table.oldest),
            format_moment(table.newest),
            format_bytes(table.size_bytes),
        ]
        for plan in plans
        for table in plan.tables
    ]
    columns = ["rule", "table", "rows", "oldest (UTC)", "newest (UTC)", "size"]
    output.show_table("What is due", columns, cells, right=["rows", "size"])
    if len(plans) > 1:
        output.say("[dim]A row that several rules take is counted by each of them.[/]")


def show_summaries(output: Output, summaries: Sequence[PruneSummary]) -> None:
    """Write one line per table: what went."""
    cells = [[one.rule, table, f"{rows:,}"] for one in summaries for table, rows in one.deleted.items()]
    output.show_table("What was deleted", ["rule", "table", "rows"], cells, right=["rows"])
    rows = sum(sum(one.deleted.values()) for one in summaries)
    size_bytes, seconds = sum(one.size_bytes for one in summaries), sum(one.seconds for one in summaries)
    output.say(f"Deleted {rows:,} rows ({format_bytes(size_bytes)}) in {format_seconds(seconds)}.")


def say_what_is_left(output: Output, summary: PruneSummary) -> None:
    """Say how many rows stand because somebody else is using them."""
    table = RULES_BY_NAME[summary.rule].table
    output.say(f"[yellow]{summary.left:,} due rows of {table} are in use and were left.[/]")
    output.say(f"[bold]Try:[/] `ibutsu-tasks prune {summary.rule}` again later.")
