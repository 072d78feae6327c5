"""What `prune` does for Ibutsu's rules alone: archives of what goes, and a word on the ages of projects."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ibutsu_tasks.errors import UsageError
from ibutsu_tasks.ibutsu.importers.parsed import ImportLimits
from ibutsu_tasks.ibutsu.operations.archives.archiver import Archiver
from ibutsu_tasks.ibutsu.retention import RETENTION_RULES
from ibutsu_tasks.ibutsu.settings import IMPORT_MAX_UNPACKED_BYTES, RETENTION
from ibutsu_tasks.text.quoting import cut

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ibutsu_tasks.ibutsu.operations.archives.archiver import Archives
    from ibutsu_tasks.packages import RetentionRule
    from ibutsu_tasks.resources import Resources
    from ibutsu_tasks.retention.monitor import PruneMonitor
    from ibutsu_tasks.settings import Settings

NOT_ARCHIVED = "imports"
"""The table, and the rule, whose rows belong to no run."""

MAX_AGES_CHARACTERS = 200


def refuse_unarchived(rules: Sequence[RetentionRule]) -> None:
    """Raise UsageError for rules of whose rows there are no archives."""
    others = [rule.name for rule in rules if rule not in RETENTION_RULES]
    if others:
        raise UsageError(
            f"--archive keeps Ibutsu's runs, results and files; what {', '.join(others)} deletes is never"
            " archived.",
            "Prune by the rules runs, results and files with --archive, by others without.",
        )
    if [rule.table for rule in rules] == [NOT_ARCHIVED]:
        raise UsageError(
            "--archive keeps runs, results and files; import records are never archived.",
            "Leave --archive out for the rule imports.",
        )


def archiver_of(
    rule: RetentionRule, archives: Archives, resources: Resources, monitor: PruneMonitor
) -> Archiver | None:
    """Give what archives the rows of one rule; None for those that are deleted without."""
    if rule.table == NOT_ARCHIVED:
        return None
    limits = ImportLimits(unpacked_bytes=resources.settings.value(IMPORT_MAX_UNPACKED_BYTES))
    return Archiver(resources.session, rule.table, archives, limits, monitor)


def refuse_ages_of_projects(settings: Settings, rules: Sequence[RetentionRule]) -> None:
    """Raise UsageError for ages that a message cannot carry: the workers would delete what these protect."""
    names = {rule.name for rule in rules if rule in RETENTION_RULES}
    own = [str(one) for one in settings.value(RETENTION) if one.rule in names]
    if own:
        named = cut(", ".join(own), MAX_AGES_CHARACTERS)
        raise UsageError(
            f"IBUTSU_TASKS_RETENTION is set here ({named}), and workers obey their own alone.",
            "Set these ages where the workers run and unset them here, or prune without --enqueue.",
        )
