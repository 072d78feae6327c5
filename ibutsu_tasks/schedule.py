"""What beat sends and when, one row each; times are UTC (contract of the Ibutsu server, section 6)."""

from __future__ import annotations

from dataclasses import dataclass

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
    ScheduleRow("prune-old-import-files", Daily(2), "ibutsu_server.tasks.db.prune_old_import_files", (7,)),
    ScheduleRow(
        "prune-old-artifact-files", Daily(4, 0, SATURDAY), "ibutsu_server.tasks.db.prune_old_files", (3,)
    ),
    ScheduleRow("prune-old-results", Daily(5, 0, SATURDAY), "ibutsu_server.tasks.db.prune_old_results", (5,)),
    ScheduleRow("prune-old-runs", Daily(6, 0, SATURDAY), "ibutsu_server.tasks.db.prune_old_runs", (12,)),
    ScheduleRow("sync-aborted-runs", Every(30), "ibutsu_server.tasks.runs.sync_aborted_runs"),
)
