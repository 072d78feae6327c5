"""What `prune --archive` adds to a prune: a keeper for each rule, and what is said of its archives."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ibutsu_tasks.cli.formats import format_bytes, plain
from ibutsu_tasks.cli.result import Note
from ibutsu_tasks.errors import UsageError
from ibutsu_tasks.operations.archives.keeper import ArchiveKeeper, Archives, GoesOn, prepare
from ibutsu_tasks.operations.imports import run_import

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ibutsu_tasks.cli.output import Output
    from ibutsu_tasks.cli.result import Block
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


class PruneArchive:
    """The directory that archives of this command go to."""

    def __init__(self, resources: Resources, output: Output, directory: Path) -> None:
        """Raise RefusedError when the directory takes no files."""
        prepare(directory)
        self._output = output
        self._resources = resources
        self._directory = directory
        self._archives = Archives()

    def keeper(self, rule: RetentionRule, goes_on: GoesOn) -> ArchiveKeeper | None:
        """Give what archives the rows of a rule; None for import records."""
        if rule.table == NOT_ARCHIVED:
            self._output.say("[dim]Import records are deleted without an archive.[/]")
            return None
        settings = self._resources.settings
        limits = run_import.limits(settings.import_max_unpacked_bytes, settings.import_max_members)
        return ArchiveKeeper(
            self._resources.session, rule.table, self._directory, limits, self._archives, goes_on
        )

    def as_json(self) -> dict[str, Any]:
        """Give what was written as JSON values."""
        return {
            "directory": str(self._directory),
            "files": self._archives.files,
            "size_bytes": self._archives.size_bytes,
            "refused": self._archives.refused,
            "reasons": list(self._archives.reasons),
        }

    @property
    def is_incomplete(self) -> bool:
        """Whether due rows stay for want of an archive."""
        return bool(self._archives.refused)

    def blocks(self) -> list[Block]:
        """Say how many archives were written, and how to bring them back."""
        directory, size = plain(str(self._directory)), format_bytes(self._archives.size_bytes)
        written: list[Block] = [Note(f"New archives in {directory}: {self._archives.files:,} ({size}).")]
        if self._archives.files:
            written.append(Note(f"[dim]`ibutsu-tasks import {directory}/*.tar.gz` brings them back.[/]"))
        return written

    def messages(self) -> list[str]:
        """Say what has no archive."""
        lines = [f"[yellow]Not deleted:[/] {plain(reason)}" for reason in self._archives.reasons]
        if self.is_incomplete:
            lines += [
                f"[yellow]Due rows left for want of an archive: {self._archives.refused:,}.[/]",
                "[bold]Try:[/] mend what is named, or prune without --archive to delete them, too.",
            ]
        return lines
