"""Counting what a prune would delete."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import DateTime, cast, func, null, select
from sqlalchemy.exc import DBAPIError

from ibutsu_tasks.clock import iso_utc
from ibutsu_tasks.errors import RefusedError
from ibutsu_tasks.retention.batches import allow_counting
from ibutsu_tasks.retention.due import find_due_rows, missing_indexes
from ibutsu_tasks.retention.partitions import refuse_partitions
from ibutsu_tasks.retention.rows import size_bytes
from ibutsu_tasks.retention.run_prune import explain
from ibutsu_tasks.retention.tables import has_time_zone, key_of, owner_of

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Table
    from sqlalchemy.orm import Session

    from ibutsu_tasks.database.indexes import MissingIndex
    from ibutsu_tasks.packages import RetentionRule
    from ibutsu_tasks.retention.due import DueRows
    from ibutsu_tasks.settings import Settings

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
    settings: Settings | None = None,
    *,
    now: datetime | None = None,
) -> PrunePlan:
    """Count what `prune` would delete at `age_days`, changing nothing.

    Raises RefusedError when the age is below the rule's floor or not in the calendar, when ages of some rows
    cannot be told, when a table has partitions, or when PostgreSQL refuses to count. Raises SettingsError
    when the rule cannot be run.
    """
    refusal = rule.refusal(age_days)
    if refusal:
        raise RefusedError(f"{refusal}.")
    due = find_due_rows(session, rule, age_days, settings, now=now)
    allow_counting(session)
    try:
        refuse_partitions(session.connection(), rule)
        missing = missing_indexes(session.connection(), [rule])
        tables = tuple(_count(session, due, table) for table in due.tables)
    except DBAPIError as error:
        failed = f"Counting what {rule.name} would delete failed"
        raise explain(error, failed, "Nothing was deleted. Mend the cause, then try again.") from error
    return PrunePlan(rule.name, age_days, due.cutoff, tables, missing)


def _count(session: Session, due: DueRows, table: Table) -> TablePlan:
    date = _date_of(due, table)
    columns = (func.count(), func.min(date), func.max(date), func.coalesce(func.sum(size_bytes(table)), 0))
    query = select(*columns).select_from(table).where(key_of(table).in_(due.select_all(table)))
    rows, oldest, newest, stored = session.execute(query).one()
    return TablePlan(table.name, rows, oldest, newest, int(stored))


def _date_of(due: DueRows, table: Table) -> ColumnElement[Any]:
    """Give the date by which a rule goes that takes rows of this table."""
    rules = (due.rule, *owner_of(due.rule).retention)
    name = next((one.date_column for one in rules if one.table == table.name), None)
    if name is None or name not in table.c:
        return null()
    date = table.c[name]
    moment = func.timezone("UTC", date) if has_time_zone(date) else date
    return func.greatest(cast(moment, DateTime), BEGINNING)
