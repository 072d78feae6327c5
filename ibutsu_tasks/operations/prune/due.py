"""Which rows a retention rule takes, said once for counting and for deleting, and the indexes that find them.

A rule takes the rows of its table that are older than the cut-off, and every row that depends on one of
them by a foreign key, whatever its own date. What depends on what is read from the models. Without one of
the indexes, every batch would read whole tables, for hours.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

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
from ibutsu_tasks.database.models import AmongKeys, Base, Project
from ibutsu_tasks.errors import RefusedError
from ibutsu_tasks.retention import RETENTION_RULES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from uuid import UUID

    from sqlalchemy.orm import Session

    from ibutsu_tasks.database.indexes import Catalogue, MissingIndex
    from ibutsu_tasks.retention import ProjectAge, RetentionRule


class RowKey(NamedTuple):
    """Where a row of the rule's table stands among the due ones: the oldest first.

    The date is PostgreSQL's text: Python has no value for one before Christ.
    """

    date: str
    id: UUID


def tables_with_keys(root: Table) -> dict[Table, list[tuple[Column[Any], Table]]]:
    """Give `root` and the tables whose rows go with its rows, parents before dependants.

    Each comes with its columns that refer to a table before it, and with that table.
    """
    found: dict[Table, list[tuple[Column[Any], Table]]] = {root: []}
    for table in Base.metadata.sorted_tables:
        keys = [(key.parent, key.column.table) for key in table.foreign_keys if key.column.table in found]
        if table is not root and keys:
            found[table] = sorted(keys, key=lambda key: key[0].name)
    return found


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
class DueRows:
    """The rows `rule` takes at `cutoff` (naive UTC), and at their own cut-off in some projects, by id.

    Where that is None, no row goes.
    """

    rule: RetentionRule
    cutoff: datetime
    own_cutoffs: Mapping[UUID, datetime | None] = field(default_factory=dict)

    @cached_property
    def keys(self) -> Mapping[Table, Sequence[tuple[Column[Any], Table]]]:
        """By table, the columns that make its rows dependants, each with the table it refers to."""
        return tables_with_keys(self.root)

    @property
    def tables(self) -> tuple[Table, ...]:
        """The rule's table and those whose rows go with it, parents before dependants."""
        return tuple(self.keys)

    @cached_property
    def root(self) -> Table:
        """The table whose dates decide."""
        return Base.metadata.tables[self.rule.table]

    @property
    def root_date(self) -> Column[Any]:
        """The date that decides."""
        return self.root.c[self.rule.date_column]

    def conditions(self, table: Table, parents: Mapping[Table, AmongKeys]) -> list[ColumnElement[bool]]:
        """Give the conditions on a row of `table`; it is taken when any of them holds."""
        if table is self.root:
            return [self._is_due()]
        return [parents[parent](column) for column, parent in self.keys[table]]

    def _is_due(self) -> ColumnElement[bool]:
        if not self.own_cutoffs:
            return self.root_date < self.cutoff
        own = {str(project_id): moment for project_id, moment in self.own_cutoffs.items()}
        cutoff = case(own, value=_project_of(self.root), else_=self.cutoff)
        # The first half is what an index on the date can serve.
        latest = max([self.cutoff, *(moment for moment in own.values() if moment)])
        return and_(self.root_date < latest, self.root_date < cutoff)

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
        self, after: RowKey | None, limit: int, *columns: ColumnElement[Any]
    ) -> Select[*tuple[Any, ...]]:
        """Select these columns of the next rows of the rule's table, oldest first."""
        key = (self.root_date, self.root.c.id)
        query = select(*columns).where(*self.conditions(self.root, {}))
        if after is not None:
            date = cast(literal(after.date), self.root_date.type)
            query = query.where(tuple_(*key) > tuple_(date, literal(after.id, Uuid())))
        return query.order_by(*key).limit(limit)

    def choose(self, session: Session, after: RowKey | None, limit: int) -> list[RowKey]:
        """Give the next rows of the rule's table, oldest first, without locking them."""
        query = self.next_roots(after, limit, cast(self.root_date, Text), self.root.c.id)
        return [RowKey(*row) for row in session.execute(query).all()]

    def children(self, table: Table) -> list[Table]:
        """Give the rule's tables whose rows may depend directly on a row of `table`."""
        return [child for child in self.tables if any(parent is table for _, parent in self.keys[child])]


def _project_of(table: Table) -> ColumnElement[str]:
    """Give the id, as text, of the project a row of a rule's table belongs to; null where there is none."""
    if "project_id" in table.c:
        return cast(table.c.project_id, Text)
    if table is Base.metadata.tables["imports"]:
        return func.lower(table.c.data["project_id"].astext)
    parents = ((key.parent, key.column.table) for key in table.foreign_keys)
    projects = (
        select(parent.c.project_id).where(parent.c.id == column).scalar_subquery()
        for column, parent in sorted(parents, key=lambda pair: pair[0].name)
    )
    return cast(func.coalesce(*projects), Text)


def chosen_by(query: Select[UUID]) -> AmongKeys:
    """Take the parents whose ids this query gives."""
    return lambda column: column.in_(query)


def size_bytes(table: Table) -> ColumnElement[int]:
    """Give a row's size in bytes as it is stored, without reading content kept out of line."""
    sizes = [func.coalesce(func.pg_column_size(column), 0) for column in table.c]
    return sum(sizes[1:], start=sizes[0])


def cutoff_at(age_days: int, now: datetime) -> datetime:
    """Give the moment (naive UTC) that lies `age_days` before `now`, which is naive UTC too.

    Raises RefusedError when that is before the first year of the calendar.
    """
    try:
        return now - timedelta(days=age_days)
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
            own |= dict.fromkeys(_projects_named(session, one.project), cutoff)
    return DueRows(rule, cutoff_at(age_days, now), own)


def _projects_named(session: Session, name_or_id: str) -> Sequence[UUID]:
    is_meant = or_(Project.name == name_or_id, cast(Project.id, Text) == name_or_id.lower())
    found = session.scalars(select(Project.id).where(is_meant)).all()
    if not found:
        raise RefusedError(
            f"IBUTSU_TASKS_RETENTION names the project {name_or_id!r}, which does not exist.",
            "Correct its name, or take it out; until then this rule deletes nothing.",
        )
    return found
