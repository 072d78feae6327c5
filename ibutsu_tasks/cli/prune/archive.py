"""What `prune --archive` adds to a prune: what archives the rows of each rule, and what is said of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ibutsu_tasks.cli.formats import format_bytes, plain
from ibutsu_tasks.cli.result import Note
from ibutsu_tasks.errors import UsageError
from ibutsu_tasks.importers.parsed import ImportLimits
from ibutsu_tasks.operations.archives.archiver import Archiver, Archives

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from ibutsu_tasks.cli.result import Block
    from ibutsu_tasks.operations.prune.watch import PruneMonitor
    from ibutsu_tasks.resources import Resources
    from ibutsu_tasks.retention import RetentionRule

NOT_ARCHIVED = "imports"
"""The table, and the rule, whose rows belong to no run."""


def check_rules(rules: Sequence[RetentionRule]) -> None:
    """Raise UsageError when nothing the rules take could be archived."""
    if [rule.table for rule in rules] == [NOT_ARCHIVED]:
        raise UsageError(
            "--archive keeps runs, results and files; import records are never archived.",
            "Leave --archive out for the rule imports.",
        )


def archiver_of(
    resources: Resources, rule: RetentionRule, directory: Path, monitor: PruneMonitor
) -> Archiver:
    """Give what archives the rows of a rule to this directory."""
    settings = resources.settings
    limits = ImportLimits(unpacked_bytes=settings.import_max_unpacked_bytes)
    return Archiver(resources.session, rule.table, directory, limits, monitor)


def archives_json(directory: Path, archives: Archives) -> dict[str, Any]:
    """Give what was written as JSON values."""
    return {
        "directory": str(directory),
        "files": archives.files,
        "size_bytes": archives.size_bytes,
        "refused": archives.refused,
        "reasons": list(archives.reasons),
    }


def archive_blocks(directory: Path, archives: Archives) -> Iterator[Block]:
    """Say how many archives were written, and how to bring them back."""
    named = plain(str(directory))
    yield Note(f"New archives in {named}: {archives.files:,} ({format_bytes(archives.size_bytes)}).")
    if archives.files:
        yield Note(f"[dim]`ibutsu-tasks import {named}/*.tar.gz` brings them back.[/]")


def archive_messages(archives: Archives) -> Iterator[str]:
    """Say what has no archive."""
    for reason in archives.reasons:
        yield f"[yellow]Not deleted:[/] {plain(reason)}"
    if archives.refused:
        yield f"[yellow]Due rows left for want of an archive: {archives.refused:,}.[/]"
        yield "[bold]Try:[/] correct what is named, or prune without --archive to delete them, too."
