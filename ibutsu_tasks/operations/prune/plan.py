"""Counting what a prune would delete."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import func, select
from sqlalchemy.exc import DBAPIError

from ibutsu_tasks.database.indexes import read_catalogue
from ibutsu_tasks.errors import RefusedError
from ibutsu_tasks.operations.prune.ages import find_due_rows
from ibutsu_tasks.operations.prune.batches import COUNT_TIMEOUT_SECONDS, set_timeouts
from ibutsu_tasks.operations.prune.due import row_date, size_bytes
from ibutsu_tasks.operations.prune.indexes import missing_indexes
from ibutsu_tasks.operations.prune.results import PrunePlan, TablePlan
from ibutsu_tasks.operations.prune.run_prune import explain
from ibutsu_tasks.operations.prune.speed import DEFAULT_SPEED, PruneSpeed

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import Table
    from sqlalchemy.orm import Session

    from ibutsu_tasks.operations.prune.due import DueRows
    from ibutsu_tasks.retention import ProjectAge, RetentionRule


def plan(
    session: Session,
    rule: RetentionRule,
    age_days: int,
    *,
    project_ages: Sequence[ProjectAge] = (),
    now: datetime | None = None,
    speed: PruneSpeed = DEFAULT_SPEED,
) -> PrunePlan:
    """Count what `prune` would delete at `age_days`, changing nothing; `speed` is what is to be expected.

    Raises RefusedError when the age is below the rule's floor or not in the calendar, when a project of
    `project_ages` does not exist, or when PostgreSQL refuses to count.
    """
    refusal = rule.refusal(age_days)
    if refusal:
        raise RefusedError(f"{refusal}.")
    due = find_due_rows(session, rule, age_days, project_ages, now=now)
    set_timeouts(session, COUNT_TIMEOUT_SECONDS)
    try:
        missing = missing_indexes(read_catalogue(session.connection()), [rule])
        tables = tuple(_count(session, due, table) for table in due.tables)
    except DBAPIError as error:
        failed = f"Counting what {rule.name} would delete failed"
        raise explain(error, failed, "Nothing was deleted. Mend the cause, then try again.") from error
    return PrunePlan(rule.name, age_days, due.cutoff, tables, missing, speed)


def _count(session: Session, due: DueRows, table: Table) -> TablePlan:
    date = row_date(table)
    columns = (func.count(), func.min(date), func.max(date), func.coalesce(func.sum(size_bytes(table)), 0))
    query = select(*columns).select_from(table).where(table.c.id.in_(due.select_all(table)))
    rows, oldest, newest, stored = session.execute(query).one()
    return TablePlan(table.name, rows, oldest, newest, int(stored))
