"""What beat sends and when, one row each; times are UTC (contract of the Ibutsu server, section 6)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from ibutsu_tasks.wire_names import (
    PRUNE_OLD_FILES,
    PRUNE_OLD_IMPORT_FILES,
    PRUNE_OLD_RESULTS,
    PRUNE_OLD_RUNS,
    RECONCILE_IMPORTS,
    SYNC_ABORTED_RUNS,
)

DAY_SECONDS = 24 * 3600


class Missed(StrEnum):
    """What becomes of runs that were missed while no beat led, or the broker was away."""

    ONCE = "once"
    """One run makes up for all of them."""
    SKIP = "skip"
    """They are left out; the next one comes when it is due."""


@dataclass(frozen=True, slots=True)
class ScheduleRow:
    """One periodic task. `when` is a crontab: minute, hour, day of the month, month, day of the week."""

    name: str
    when: str
    task: str
    args: tuple[int, ...] = ()
    missed: Missed = Missed.ONCE

    @property
    def period_seconds(self) -> int:
        """The time from one run to the next of what is sent daily or on one day of the week."""
        return DAY_SECONDS if self.when.endswith("*") else 7 * DAY_SECONDS


SCHEDULE = (
    ScheduleRow("prune-old-import-files", "0 2 * * *", PRUNE_OLD_IMPORT_FILES, (7,)),
    ScheduleRow("prune-old-artifact-files", "0 4 * * 6", PRUNE_OLD_FILES, (3,)),
    ScheduleRow("prune-old-results", "0 5 * * 6", PRUNE_OLD_RESULTS, (5,)),
    ScheduleRow("prune-old-runs", "0 6 * * 6", PRUNE_OLD_RUNS, (12,)),
    ScheduleRow("sync-aborted-runs", "*/30 * * * *", SYNC_ABORTED_RUNS),
    ScheduleRow("reconcile-imports", "*/5 * * * *", RECONCILE_IMPORTS, missed=Missed.SKIP),
)
