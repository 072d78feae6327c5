"""What `prune` shows: the plan, and what came of it."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from ibutsu_tasks.cli.output.formats import format_bytes, format_moment, format_seconds, plain
from ibutsu_tasks.cli.output.result import Note, Table
from ibutsu_tasks.packages import loaded
from ibutsu_tasks.text.words import counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ibutsu_tasks.cli.output.result import Block
    from ibutsu_tasks.ibutsu.operations.archives.archiver import Archives
    from ibutsu_tasks.retention.plan import PrunePlan
    from ibutsu_tasks.retention.run_prune import PruneSummary
    from ibutsu_tasks.retention.vacuum import Vacuumed


def plan_blocks(plans: Sequence[PrunePlan], place: str) -> Iterator[Block]:
    """Give one line per table: what would go, how old it is, how much it holds."""
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
    yield Table(columns, cells, f"What is due at {plain(place)}", right=["rows", "size"], heads=2)
    if len(plans) > 1:
        yield Note("[dim]A row that several rules take is counted by each of them.[/]")


def summary_blocks(summaries: Sequence[PruneSummary]) -> Iterator[Block]:
    """Give one line per table: what went."""
    cells = [[one.rule, table, f"{rows:,}"] for one in summaries for table, rows in one.deleted.items()]
    yield Table(["rule", "table", "rows"], cells, "What was deleted", right=["rows"])
    rows = sum(sum(one.deleted.values()) for one in summaries)
    size_bytes, seconds = sum(one.size_bytes for one in summaries), sum(one.seconds for one in summaries)
    yield Note(f"Deleted {counted(rows, 'row')} ({format_bytes(size_bytes)}) in {format_seconds(seconds)}.")


def vacuum_blocks(vacuumed: Sequence[Vacuumed]) -> Iterator[Block]:
    """Say which tables were vacuumed."""
    done = [one for one in vacuumed if not one.problem]
    if done:
        yield Note(f"Vacuumed {', '.join(f'{one.table} ({format_seconds(one.seconds)})' for one in done)}.")


def missing_index_messages(plans: Sequence[PrunePlan]) -> Iterator[str]:
    """Say which index every prune would refuse without."""
    for index in dict.fromkeys(index for plan in plans for index in plan.missing_indexes):
        names = ", ".join(plan.rule for plan in plans if index in plan.missing_indexes)
        yield f"[bold red]Refused:[/] {names}: {plain(index.problem)}"
        yield f"[bold]Try:[/] {plain(index.remedy)}"


def left_messages(summaries: Sequence[PruneSummary]) -> Iterator[str]:
    """Say how many rows stand because somebody else is using them."""
    for summary in (summary for summary in summaries if summary.left):
        table = loaded().retention[summary.rule].table
        what_happened = "is in use and was left" if summary.left == 1 else "are in use and were left"
        yield f"[yellow]{counted(summary.left, 'due row')} of {table} {what_happened}.[/]"
        yield f"[bold]Try:[/] `ibutsu-tasks prune {summary.rule}` again later."


def vacuum_messages(vacuumed: Sequence[Vacuumed]) -> Iterator[str]:
    """Say which tables could not be vacuumed."""
    bad = [one for one in vacuumed if one.problem]
    for one in bad:
        yield f"[yellow]{one.table} was not vacuumed:[/] {plain(one.problem or '')}."
    if bad:
        yield "[bold]Try:[/] `VACUUM (ANALYZE)` as the owner of the tables, or leave it to autovacuum."


def archive_blocks(archives: Archives) -> Iterator[Block]:
    """Say how many archives were written, and how to bring them back."""
    named, quoted = plain(str(archives.directory)), plain(shlex.quote(str(archives.directory)))
    yield Note(f"New archives in {named}: {archives.files:,} ({format_bytes(archives.size_bytes)}).")
    if archives.files:
        yield Note(f"[dim]`ibutsu-tasks import {quoted}/*.tar.gz` brings them back.[/]")


def archive_messages(archives: Archives) -> Iterator[str]:
    """Say what has no archive."""
    for reason in archives.reasons:
        yield f"[yellow]Not deleted:[/] {plain(reason)}"
    if archives.refused:
        yield f"[yellow]Due rows left for want of an archive: {archives.refused:,}.[/]"
        yield "[bold]Try:[/] correct what is named, or prune without --archive to delete them, too."
