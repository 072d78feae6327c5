"""Which rows a retention rule takes, at which age in which project, and the indexes that find them.

A rule takes the rows of its table that are older than the cut-off, and every row that depends on one of
them by a foreign key, whatever its own date. Without one of the indexes, every batch would read whole tables,
for hours.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Select,
    Table,
    Text,
    Uuid,
    and_,
    case,
    cast,
    func,
    literal,
    or_,
    select,
    tuple_,
    union,
)

from ibutsu_tasks.clock import utc_now
from ibutsu_tasks.errors import RefusedError
from ibutsu_tasks.ibutsu.database.models import Base, Project, among
from ibutsu_tasks.ibutsu.operations.prune.rows import Rows, chosen_by, place_of, tables_with_keys
from ibutsu_tasks.ibutsu.retention import RETENTION_RULES
from ibutsu_tasks.text.quoting import cut

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from uuid import UUID

    from sqlalchemy.orm import Session

    from ibutsu_tasks.database.indexes import Catalogue, MissingIndex
    from ibutsu_tasks.ibutsu.operations.prune.rows import RowKey
    from ibutsu_tasks.ibutsu.retention import ProjectAge, RetentionRule

_UUID = "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"


def columns_needed(rule: RetentionRule) -> list[Column[Any]]:
    """Give the columns a prune looks rows up by: its date, and the keys of the dependants."""
    root = Base.metadata.tables[rule.table]
    keys = [column for keys in tables_with_keys(root).values() for column, _ in keys]
    return [root.c[rule.date_column], *keys]


def missing_indexes(
    catalogue: Catalogue, rules: Iterable[RetentionRule] = RETENTION_RULES
) -> tuple[MissingIndex, ...]:
    """Give the indexes prunes by these rules need and the database lacks."""
    return catalogue.missing(column for rule in rules for column in columns_needed(rule))


@dataclass(frozen=True)
class DueRows(Rows):
    """The rows `rule` takes at `cutoff` (naive UTC), and at their own cut-off in some projects, by id.

    Where that is None, no row goes. With `ids` it is those among them.
    """

    rule: RetentionRule
    cutoff: datetime
    own_cutoffs: Mapping[UUID, datetime | None] = field(default_factory=dict)
    ids: frozenset[UUID] | None = None

    @cached_property
    def root(self) -> Table:
        """The table whose dates decide."""
        return Base.metadata.tables[self.rule.table]

    @property
    def root_date(self) -> Column[Any]:
        """The date that decides."""
        return self.root.c[self.rule.date_column]

    @property
    def keeps_some(self) -> bool:
        """Whether rows of some projects are passed over."""
        return bool(self.own_cutoffs)

    def are_taken(self) -> ColumnElement[bool]:
        """Give the condition on a row of the rule's table."""
        return and_(self._may_be_due(), self._is_due()) if self.keeps_some else self._may_be_due()

    def _may_be_due(self) -> ColumnElement[bool]:
        """Give the part of the condition that an index serves."""
        own = (moment for moment in self.own_cutoffs.values() if moment)
        is_old = self.root_date < max([self.cutoff, *own])
        return is_old if self.ids is None else and_(among(self.ids)(self.root.c.id), is_old)

    def _is_due(self) -> ColumnElement[bool]:
        """Give the part that only the row itself tells, by its project."""
        cutoff = case(dict(self.own_cutoffs), value=_project_of(self.root), else_=self.cutoff)
        return self.root_date < cutoff

    def select_all(self, table: Table) -> Select[UUID]:
        """Select the ids of every row of `table` the rule takes."""
        parents = {parent: chosen_by(self.select_all(parent)) for _, parent in self.keys[table]}
        conditions = self.conditions(table, parents)
        if len(conditions) == 1:
            return select(table.c.id).where(conditions[0])
        # Not OR: PostgreSQL cannot join on it, and would compare every row with every parent.
        either = union(*(select(table.c.id).where(condition) for condition in conditions)).subquery()
        return select(either.c.id)

    def next_roots(
        self, after: RowKey | None, limit: int, window: int | None = None
    ) -> Select[*tuple[Any, ...]]:
        """Select `place`, `date` and `id` of the next rows of the rule's table, oldest first.

        With a `window` no more rows are looked at.
        """
        columns = (place_of(self.root).label("place"), self.root_date.label("date"), self.root.c.id)
        if not self.keeps_some:
            return self._looked_at(after, *columns).limit(limit)
        seen = self._looked_at(after, *columns, self._is_due().label("is_due")).limit(window).subquery("seen")
        query = select(seen.c.place, seen.c.date, seen.c.id).where(seen.c.is_due)
        return query.order_by(seen.c.date, seen.c.id).limit(limit)

    def end_of_window(self, after: RowKey | None, window: int) -> Select[*tuple[Any, ...]]:
        """Select `date` and `id` of the last row that `next_roots` looks at; none where the rows end."""
        columns = (self.root_date.label("date"), self.root.c.id)
        return self._looked_at(after, *columns).offset(window - 1).limit(1)

    def _looked_at(self, after: RowKey | None, *columns: ColumnElement[Any]) -> Select[*tuple[Any, ...]]:
        key = (self.root_date, self.root.c.id)
        query = select(*columns).where(self._may_be_due())
        if after is not None:
            date = cast(literal(after.date), self.root_date.type)
            query = query.where(tuple_(*key) > tuple_(date, literal(after.id, Uuid())))
        return query.order_by(*key)


def _project_of(table: Table) -> ColumnElement[Any]:
    """Give the id of the project a row of a rule's table belongs to; null where there is none."""
    if "project_id" in table.c:
        return table.c.project_id
    if table is Base.metadata.tables["imports"]:
        # What is no id is no project's; a cast to uuid would fail on it.
        text = func.lower(table.c.data["project_id"].astext)
        return case((text.regexp_match(_UUID), cast(text, Uuid())))
    parents = ((key.parent, key.column.table) for key in table.foreign_keys)
    projects = (
        select(parent.c.project_id).where(parent.c.id == column).scalar_subquery()
        for column, parent in sorted(parents, key=lambda pair: pair[0].name)
    )
    return func.coalesce(*projects)


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
            own |= dict.fromkeys(_projects_named(session, one.project), cutoff)
    return DueRows(rule, cutoff_at(age_days, now), own)


def _projects_named(session: Session, name_or_id: str) -> Sequence[UUID]:
    is_meant = or_(Project.name == name_or_id, cast(Project.id, Text) == name_or_id.lower())
    found = session.scalars(select(Project.id).where(is_meant)).all()
    if not found:
        raise RefusedError(
            f"IBUTSU_TASKS_RETENTION names the project {cut(name_or_id)!r}, which does not exist.",
            "Correct its name, or take it out; until then this rule deletes nothing.",
        )
    return found
