"""What beat sends and when, one row each; times are UTC (contract of the Ibutsu server, section 6)."""

from __future__ import annotations

from dataclasses import dataclass

from ibutsu_tasks.wire_names import (
    PRUNE_OLD_FILES,
    PRUNE_OLD_IMPORT_FILES,
    PRUNE_OLD_RESULTS,
    PRUNE_OLD_RUNS,
    SYNC_ABORTED_RUNS,
)

SECONDS_PER_DAY = 24 * 3600


@dataclass(frozen=True, slots=True)
class Daily:
    """At a time of the day, on one day of the week (0 is Sunday) or on all."""

    hour: int
    minute: int = 0
    day_of_week: int | None = None

    @property
    def period_seconds(self) -> int:
        """The time from one run to the next."""
        return SECONDS_PER_DAY * (1 if self.day_of_week is None else 7)


@dataclass(frozen=True, slots=True)
class Every:
    """At multiples of a number of minutes past the hour."""

    minutes: int

    @property
    def period_seconds(self) -> int:
        """The time from one run to the next."""
        return self.minutes * 60


@dataclass(frozen=True, slots=True)
class ScheduleRow:
    """One periodic task."""

    name: str
    when: Daily | Every
    task: str
    args: tuple[int, ...] = ()

    @property
    def period_seconds(self) -> int:
        """The time from one run to the next."""
        return self.when.period_seconds


SATURDAY = 6

SCHEDULE = (
    ScheduleRow("prune-old-import-files", Daily(2), PRUNE_OLD_IMPORT_FILES, (7,)),
    ScheduleRow("prune-old-artifact-files", Daily(4, 0, SATURDAY), PRUNE_OLD_FILES, (3,)),
    ScheduleRow("prune-old-results", Daily(5, 0, SATURDAY), PRUNE_OLD_RESULTS, (5,)),
    ScheduleRow("prune-old-runs", Daily(6, 0, SATURDAY), PRUNE_OLD_RUNS, (12,)),
    ScheduleRow("sync-aborted-runs", Every(30), SYNC_ABORTED_RUNS),
)
