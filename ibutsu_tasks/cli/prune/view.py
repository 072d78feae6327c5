"""What `prune` shows: the plan, and what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ibutsu_tasks.cli.output import format_bytes, format_moment, format_seconds, plain
from ibutsu_tasks.operations.prune import indexes
from ibutsu_tasks.retention import RULES_BY_NAME

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ibutsu_tasks.cli.output import Output
    from ibutsu_tasks.operations.prune.results import PrunePlan, PruneSummary
    from ibutsu_tasks.operations.prune.vacuum import Vacuumed


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
    for plan in plans:
        if plan.rows:
            output.show(f"{plan.rule}: {_expectation(plan)}")
    if len(plans) > 1:
        output.say("[dim]A row that several rules take is counted by each of them.[/]")


def show_summaries(output: Output, summaries: Sequence[PruneSummary]) -> None:
    """Write one line per table: what went."""
    cells = [[one.rule, table, f"{rows:,}"] for one in summaries for table, rows in one.deleted.items()]
    output.show_table("What was deleted", ["rule", "table", "rows"], cells, right=["rows"])
    rows = sum(sum(one.deleted.values()) for one in summaries)
    size_bytes, seconds = sum(one.size_bytes for one in summaries), sum(one.seconds for one in summaries)
    output.say(f"Deleted {rows:,} rows ({format_bytes(size_bytes)}) in {format_seconds(seconds)}.")


def _expectation(plan: PrunePlan) -> str:
    speed = plan.speed
    source = {0: "a default, for none is on record", 1: "measured in the last one"}.get(
        speed.prunes, f"measured in the last {speed.prunes}"
    )
    return f"{_about(plan.expected_seconds)} at {speed.rows_per_second:,.0f} rows/s ({source})"


def _about(seconds: float) -> str:
    if seconds < 1:
        return "less than 1 s"
    return f"about {seconds:.0f} s" if seconds < 90 else f"about {seconds / 60:,.0f} min"  # noqa: PLR2004


def say_what_is_missing(output: Output, plans: Sequence[PrunePlan]) -> bool:
    """Say which index every prune would refuse without; give whether one is missing."""
    missing = dict.fromkeys(index for plan in plans for index in plan.missing_indexes)
    for index in missing:
        names = ", ".join(plan.rule for plan in plans if index in plan.missing_indexes)
        output.say(f"[bold red]Refused:[/] {names}: {plain(indexes.describe(index))}")
        output.say(f"[bold]Try:[/] {plain(indexes.mend(index))}")
    return bool(missing)


def say_what_is_left(output: Output, summaries: Sequence[PruneSummary]) -> bool:
    """Say how many rows stand because somebody else is using them; give whether there are any."""
    held_up = [summary for summary in summaries if summary.left]
    for summary in held_up:
        table = RULES_BY_NAME[summary.rule].table
        output.say(f"[yellow]{summary.left:,} due rows of {table} are in use and were left.[/]")
        output.say(f"[bold]Try:[/] `ibutsu-tasks prune {summary.rule}` again later.")
    return bool(held_up)


def say_what_was_vacuumed(output: Output, vacuumed: Sequence[Vacuumed]) -> bool:
    """Say what became of each table; give whether one was not vacuumed."""
    done = [one for one in vacuumed if not one.problem]
    if done and not output.json_wanted:
        named = ", ".join(f"{one.table} ({format_seconds(one.seconds)})" for one in done)
        output.say(f"Vacuumed {named}.")
    bad = [one for one in vacuumed if one.problem]
    for one in bad:
        output.say(f"[yellow]{one.table} was not vacuumed:[/] {plain(one.problem or '')}.")
    if bad:
        output.say("[bold]Try:[/] `VACUUM (ANALYZE)` as the owner of the tables, or leave it to autovacuum.")
    return bool(bad)
