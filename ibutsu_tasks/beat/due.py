"""When an entry is due next: its crontab, when it last ran, and what becomes of runs that were missed.

Written for Celery 5.7, whose crontab says by `remaining_delta` how far the next run is from any moment. Its
`is_due` goes by this machine's clock, and beat by Redis'.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from celery.schedules import BaseSchedule, crontab, schedule

from ibutsu_tasks.packages import Missed

if TYPE_CHECKING:
    from ibutsu_tasks.beat.state import Runs
    from ibutsu_tasks.packages import ScheduleRow

SKIPPED_AFTER = timedelta(minutes=2)
"""A run that is this late was missed: a change of leaders takes half a minute at most."""


class _Utc:
    """All that a crontab asks of an application: with none, Celery makes one and reads its configuration."""

    timezone = UTC

    @staticmethod
    def now() -> datetime:
        return datetime.now(UTC)


def due_of(row: ScheduleRow, runs: Runs) -> datetime:
    """Give when a row of the schedule is due, at or before now when it is overdue; needs no application."""
    return next_run(schedule_of(row), row.missed, runs.base(row.name) or runs.now, runs.now)


def schedule_of(row: ScheduleRow) -> BaseSchedule:
    """Give when a row is due as Celery has it: a crontab, or the time between two runs."""
    utc: Any = _Utc()
    if not isinstance(row.when, str):
        return schedule(timedelta(seconds=row.when), app=utc)
    minute, hour, day, month, weekday = row.when.split()
    return crontab(minute, hour, weekday, day, month, app=utc)


def next_run(when: Any, missed: Missed, last_run: datetime, now: datetime) -> datetime:
    """Give when an entry is due, at or before `now` when it is to be sent at once.

    `when` is Celery's schedule of it. `last_run` is when it ran, or since when it is waited for. However many
    runs were missed, one is due.
    """
    since = max(last_run, now - SKIPPED_AFTER) if missed is Missed.SKIP else last_run
    if isinstance(when, crontab):
        start, step, _ = when.remaining_delta(since, tz=UTC)
        moment: datetime = start + step
        return moment
    period = when.run_every
    # Counted from the last run, as if none had been missed.
    later: datetime = last_run + period * max(1, math.ceil((since - last_run) / period))
    return later
