"""Which rows a retention rule takes, at which age, and the indexes that find them.

A rule takes the rows of its table that are older than the cut-off, and every row that depends on one of
them by a foreign key, whatever its own date. Without one of the indexes, every batch would read whole tables,
for hours.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    Column,
    ColumnElement,
    DateTime,
    Select,
    Table,
    and_,
    case,
    literal,
    select,
    tuple_,
    union,
)

from ibutsu_tasks.clock import utc_now
from ibutsu_tasks.database.indexes import read_catalogue
from ibutsu_tasks.errors import RefusedError
from ibutsu_tasks.retention.own_ages import OwnCutoffs
from ibutsu_tasks.retention.rows import Rows, chosen_by, place_of, value_of
from ibutsu_tasks.retention.tables import (
    columns_set_by_postgresql,
    condition_of,
    function_of,
    gives_no,
    has_time_zone,
    key_of,
    root_of,
    tables_with_keys,
    telling,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection
    from sqlalchemy.orm import Session

    from ibutsu_tasks.database.indexes import MissingIndex
    from ibutsu_tasks.packages import RetentionRule
    from ibutsu_tasks.retention.rows import RowKey
    from ibutsu_tasks.settings import Settings


def columns_needed(rule: RetentionRule) -> list[Column[Any]]:
    """Give the columns rows are looked up by: the date, and those that refer to what goes.

    Raises SettingsError when a prune cannot take the rule's table.
    """
    root = root_of(rule)
    tables = tables_with_keys(root)
    keys = [column for keys in tables.values() for column, _ in keys]
    return [root.c[rule.date_column], *keys, *columns_set_by_postgresql(tables)]


def missing_indexes(connection: Connection, rules: Iterable[RetentionRule]) -> tuple[MissingIndex, ...]:
    """Give the indexes prunes by these rules need and the database lacks.

    Raises SQLAlchemyError, and as `columns_needed`.
    """
    columns = [column for rule in rules for column in columns_needed(rule)]
    return read_catalogue(connection, {column.table.name for column in columns}).missing(columns)


@dataclass(frozen=True)
class DueRows(Rows):
    """The rows `rule` takes at `cutoff` (naive UTC), and some at an `own` cut-off.

    With `chosen` it is those for which that holds. Raises SettingsError where the rule cannot be run.
    """

    rule: RetentionRule
    cutoff: datetime
    own: OwnCutoffs | None = None
    chosen: ColumnElement[bool] | None = None

    @cached_property
    def root(self) -> Table:
        """The table whose dates decide."""
        return root_of(self.rule)

    @cached_property
    def where(self) -> ColumnElement[bool] | None:
        """What a row of it must meet besides."""
        return condition_of(self.rule, self.root)

    @property
    def root_date(self) -> Column[Any]:
        """The date that decides."""
        return self.root.c[self.rule.date_column]

    @property
    def keeps_some(self) -> bool:
        """Whether old rows are passed over."""
        return self.own is not None or self.where is not None

    def are_taken(self) -> ColumnElement[bool]:
        """Give the condition on a row of the rule's table."""
        return and_(self._may_be_due(), self._is_due()) if self.keeps_some else self._may_be_due()

    def _may_be_due(self) -> ColumnElement[bool]:
        """Give the part of the condition that an index serves."""
        own = self.own.cutoffs.values() if self.own else ()
        is_old = self.root_date < self._moment(max([self.cutoff, *filter(None, own)]))
        return is_old if self.chosen is None else and_(self.chosen, is_old)

    def _is_due(self) -> ColumnElement[bool]:
        """Give the part that only the row itself tells."""
        parts = [] if self.where is None else [self.where]
        if self.own:
            cutoffs = {value: moment and self._moment(moment) for value, moment in self.own.cutoffs.items()}
            parts.append(self.root_date < case(cutoffs, value=self.own.by, else_=self._moment(self.cutoff)))
        return and_(*parts)

    def _moment(self, moment: datetime) -> ColumnElement[Any]:
        """Give a moment in naive UTC as dates of the rule's table can be compared with it."""
        is_aware = has_time_zone(self.root_date)
        return literal(moment.replace(tzinfo=UTC) if is_aware else moment, DateTime(timezone=is_aware))

    def select_all(self, table: Table) -> Select[Any]:
        """Select the keys of every row of `table` the rule takes, as `id`."""
        key = key_of(table).label("id")
        parents = {parent: chosen_by(self.select_all(parent)) for _, parent in self.keys[table]}
        conditions = self.conditions(table, parents)
        if len(conditions) == 1:
            return select(key).where(conditions[0])
        # Not OR: PostgreSQL cannot join on it, and would compare every row with every parent.
        either = union(*(select(key).where(condition) for condition in conditions)).subquery()
        return select(either.c.id)

    def next_roots(
        self, after: RowKey | None, limit: int, window: int | None = None
    ) -> Select[*tuple[Any, ...]]:
        """Select `place`, `date` and `id` of the next rows of the rule's table, oldest first.

        With a `window` no more rows are looked at.
        """
        columns = (place_of(self.root).label("place"), self.root_date.label("date"), self.id)
        if not self.keeps_some:
            return self._looked_at(after, *columns).limit(limit)
        seen = self._looked_at(after, *columns, self._is_due().label("is_due")).limit(window).subquery("seen")
        query = select(seen.c.place, seen.c.date, seen.c.id).where(seen.c.is_due)
        return query.order_by(seen.c.date, seen.c.id).limit(limit)

    def end_of_window(self, after: RowKey | None, window: int) -> Select[*tuple[Any, ...]]:
        """Select `date` and `id` of the last row that `next_roots` looks at; none where the rows end."""
        columns = (self.root_date.label("date"), self.id)
        return self._looked_at(after, *columns).offset(window - 1).limit(1)

    def _looked_at(self, after: RowKey | None, *columns: ColumnElement[Any]) -> Select[*tuple[Any, ...]]:
        key = (self.root_date, key_of(self.root))
        query = select(*columns).where(self._may_be_due())
        if after is not None:
            values = map(value_of, key, after)
            query = query.where(tuple_(*key) > tuple_(*values))
        return query.order_by(*key)


def cutoff_at(age_days: int, now: datetime) -> datetime:
    """Give the moment (naive UTC) that lies `age_days` before `now`, which is naive UTC too.

    Raises RefusedError when that is before the first year of the calendar.
    """
    try:
        return now - timedelta(days=age_days)
    except OverflowError:
        raise RefusedError(
            f"{age_days:,} days ago is not in the calendar.", "Give an age of at most some hundred years."
        ) from None


def find_due_rows(
    session: Session,
    rule: RetentionRule,
    age_days: int,
    settings: Settings | None = None,
    *,
    now: datetime | None = None,
) -> DueRows:
    """Give the rows `rule` takes at `age_days`, and those that it takes at an age of their own by `settings`.

    Raises RefusedError when an age is not in the calendar, or an age of some rows is for what does not exist,
    and SettingsError when the ages of some rows cannot be told.
    """
    now = now or utc_now()
    own = _own_cutoffs(session, settings, rule, now) if settings else None
    return DueRows(rule, cutoff_at(age_days, now), own if own and own.cutoffs else None)


def _own_cutoffs(
    session: Session, settings: Settings, rule: RetentionRule, now: datetime
) -> OwnCutoffs | None:
    find = function_of(rule, "own_ages")
    if find is None:
        return None
    with telling(rule, "own_ages"):
        own = find(session, settings, rule, now)
    if not isinstance(own, OwnCutoffs):
        raise gives_no(rule, "own_ages", "OwnCutoffs")
    return own
