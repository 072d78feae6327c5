"""Runs whose summary does not count their results: their tests were cut off, or a message was lost."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import Integer, and_, case, func, not_, select

from ibutsu_tasks.clock import utc_now
from ibutsu_tasks.database.models import Result, Run
from ibutsu_tasks.operations.run_summary import FROM_FILE, SUMMARY_SOURCE

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy.orm import Session

LOOK_BACK = timedelta(hours=3)
"""The Ibutsu server's own figure."""

_WHOLE_NUMBER = "^[0-9]{1,9}$"


def find_out_of_step(session: Session) -> list[UUID]:
    """List the runs started in the last 3 hours (UTC) whose `summary.tests` is not their number of results.

    Runs that have only the counts their file stated are none of them.
    """
    results = select(func.count()).where(Result.run_id == Run.id).scalar_subquery().correlate(Run)
    stated = Run.summary["tests"].astext
    tests = case((stated.regexp_match(_WHOLE_NUMBER), stated.cast(Integer)))
    counted_by_file = and_(results == 0, func.coalesce(Run.data[SUMMARY_SOURCE].astext, "") == FROM_FILE)
    since = utc_now() - LOOK_BACK
    query = (
        select(Run.id)
        .where(Run.start_time > since, tests.is_distinct_from(results), not_(counted_by_file))
        .order_by(Run.start_time, Run.id)
    )
    return list(session.scalars(query))
