"""Counting what a prune would delete."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, null, select
from sqlalchemy.exc import DBAPIError

from ibutsu_tasks.clock import iso_utc
from ibutsu_tasks.database.indexes import read_catalogue
from ibutsu_tasks.errors import RefusedError
from ibutsu_tasks.ibutsu.database.models import TABLES
from ibutsu_tasks.ibutsu.operations.prune.batches import allow_counting
from ibutsu_tasks.ibutsu.operations.prune.due import find_due_rows, missing_indexes
from ibutsu_tasks.ibutsu.operations.prune.rows import size_bytes
from ibutsu_tasks.ibutsu.operations.prune.run_prune import explain
from ibutsu_tasks.ibutsu.retention import DATE_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Table
    from sqlalchemy.orm import Session

    from ibutsu_tasks.database.indexes import MissingIndex
    from ibutsu_tasks.ibutsu.operations.prune.due import DueRows
    from ibutsu_tasks.ibutsu.retention import ProjectAge, RetentionRule

BEGINNING = datetime(1, 1, 1)  # noqa: DTZ001 - the database's times are naive UTC
"""The first moment Python has a value for; a date before Christ counts as it."""


@dataclass(frozen=True, slots=True)
class TablePlan:
    """Rows of one table that would go. Dates are naive UTC, None without rows or without a date column."""

    table: str
    rows: int
    oldest: datetime | None
    newest: datetime | None
    size_bytes: int


@dataclass(frozen=True, slots=True)
class PrunePlan:
    """What a rule would delete: rows of its own table first, then their dependants.

    With `missing_indexes` it would refuse to.
    """

    rule: str
    older_than_days: int
    cutoff: datetime
    tables: tuple[TablePlan, ...]
    missing_indexes: tuple[MissingIndex, ...] = ()

    @property
    def rows(self) -> int:
        """Rows of all tables."""
        return sum(table.rows for table in self.tables)

    def as_json(self) -> dict[str, Any]:
        """Give the plan as JSON values; dates are ISO 8601 in UTC."""
        tables = [
            asdict(table) | {"oldest": iso_utc(table.oldest), "newest": iso_utc(table.newest)}
            for table in self.tables
        ]
        return asdict(self) | {"cutoff": iso_utc(self.cutoff), "rows": self.rows, "tables": tables}


def plan(
    session: Session,
    rule: RetentionRule,
    age_days: int,
    *,
    project_ages: Sequence[ProjectAge] = (),
    now: datetime | None = None,
) -> PrunePlan:
    """Count what `prune` would delete at `age_days`, changing nothing.

    Raises RefusedError when the age is below the rule's floor or not in the calendar, when a project of
    `project_ages` does not exist, or when PostgreSQL refuses to count.
    """
    refusal = rule.refusal(age_days)
    if refusal:
        raise RefusedError(f"{refusal}.")
    due = find_due_rows(session, rule, age_days, project_ages, now=now)
    allow_counting(session)
    try:
        missing = missing_indexes(read_catalogue(session.connection(), TABLES), [rule])
        tables = tuple(_count(session, due, table) for table in due.tables)
    except DBAPIError as error:
        failed = f"Counting what {rule.name} would delete failed"
        raise explain(error, failed, "Nothing was deleted. Mend the cause, then try again.") from error
    return PrunePlan(rule.name, age_days, due.cutoff, tables, missing)


def _count(session: Session, due: DueRows, table: Table) -> TablePlan:
    name = DATE_COLUMNS.get(table.name)
    date = null() if name is None else func.greatest(table.c[name], BEGINNING)
    columns = (func.count(), func.min(date), func.max(date), func.coalesce(func.sum(size_bytes(table)), 0))
    query = select(*columns).select_from(table).where(table.c.id.in_(due.select_all(table)))
    rows, oldest, newest, stored = session.execute(query).one()
    return TablePlan(table.name, rows, oldest, newest, int(stored))
