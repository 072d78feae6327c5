"""Ages of single projects: which rows of a rule's table are theirs, and when these go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Table, Text, Uuid, case, cast, func, or_, select

from ibutsu_tasks.errors import RefusedError
from ibutsu_tasks.ibutsu.database.models import METADATA, Project
from ibutsu_tasks.ibutsu.settings import RETENTION
from ibutsu_tasks.retention import OwnCutoffs
from ibutsu_tasks.retention.due import cutoff_at
from ibutsu_tasks.text.quoting import cut

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy.orm import Session

    from ibutsu_tasks.packages import RetentionRule
    from ibutsu_tasks.settings import Settings

_UUID = "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"


def cutoffs(session: Session, settings: Settings, rule: RetentionRule, now: datetime) -> OwnCutoffs:
    """Give the projects that have an age of their own, by id.

    Raises RefusedError when an age is not in the calendar, and when a project does not exist: its rows,
    under another name by now, would go at the age of all others.
    """
    own: dict[UUID, datetime | None] = {}
    for one in settings.value(RETENTION):
        if one.rule == rule.name:
            cutoff = None if one.age_days is None else cutoff_at(one.age_days, now)
            own |= dict.fromkeys(_projects_named(session, one.project), cutoff)
    return OwnCutoffs(_project_of(METADATA.tables[rule.table]), own)


def _project_of(table: Table) -> ColumnElement[Any]:
    """Give the id of the project a row of a rule's table belongs to; null where there is none."""
    if "project_id" in table.c:
        return table.c.project_id
    if table is METADATA.tables["imports"]:
        # What is no id is no project's; a cast to uuid would fail on it.
        text = func.lower(table.c.data["project_id"].astext)
        return case((text.regexp_match(_UUID), cast(text, Uuid())))
    parents = ((key.parent, key.column.table) for key in table.foreign_keys)
    projects = (
        select(parent.c.project_id).where(parent.c.id == column).scalar_subquery()
        for column, parent in sorted(parents, key=lambda pair: pair[0].name)
    )
    return func.coalesce(*projects)


def _projects_named(session: Session, name_or_id: str) -> Sequence[UUID]:
    is_meant = or_(Project.name == name_or_id, cast(Project.id, Text) == name_or_id.lower())
    found = session.scalars(select(Project.id).where(is_meant)).all()
    if not found:
        raise RefusedError(
            f"IBUTSU_TASKS_RETENTION names the project {cut(name_or_id)!r}, which does not exist.",
            "Correct its name, or take it out; until then this rule deletes nothing.",
        )
    return found
