"""From when on rows are due: the age of a rule, and the ages of projects that have their own."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import Text, cast, or_, select

from ibutsu_tasks.clock import utc_now
from ibutsu_tasks.database.models import Project
from ibutsu_tasks.errors import RefusedError
from ibutsu_tasks.operations.prune.due import DueRows

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from sqlalchemy.orm import Session

    from ibutsu_tasks.retention import ProjectAge, RetentionRule


def cutoff_at(age_days: int, now: datetime | None = None) -> datetime:
    """Give the moment (naive UTC) that lies `age_days` before `now`, which is naive UTC too.

    Raises RefusedError when that is before the first year of the calendar.
    """
    try:
        return (now or utc_now()) - timedelta(days=age_days)
    except OverflowError:
        raise RefusedError(
            f"{age_days} days ago is not in the calendar.", "Give an age of at most some hundred years."
        ) from None


def find_due_rows(
    session: Session,
    rule: RetentionRule,
    age_days: int,
    project_ages: Sequence[ProjectAge] = (),
    *,
    now: datetime | None = None,
) -> DueRows:
    """Give the rows `rule` takes at `age_days`, and at their own age in the projects that have one.

    Raises RefusedError when an age is not in the calendar, and when a project does not exist: its rows,
    under another name by now, would go at the age of all others.
    """
    now = now or utc_now()
    own: dict[UUID, datetime | None] = {}
    for one in project_ages:
        if one.rule == rule.name:
            cutoff = None if one.age_days is None else cutoff_at(one.age_days, now)
            own |= dict.fromkeys(_projects_called(session, one.project), cutoff)
    return DueRows(rule, cutoff_at(age_days, now), own)


def _projects_called(session: Session, name_or_id: str) -> Sequence[UUID]:
    is_meant = or_(Project.name == name_or_id, cast(Project.id, Text) == name_or_id.lower())
    found = session.scalars(select(Project.id).where(is_meant)).all()
    if not found:
        raise RefusedError(
            f"IBUTSU_TASKS_RETENTION names the project {name_or_id!r}, which does not exist.",
            "Correct its name, or take it out; until then this rule deletes nothing.",
        )
    return found
