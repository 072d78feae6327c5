"""The tables of a rule as its package's MetaData has them: keys, dates, and what depends on what.

What a prune cannot take is refused here, with one sentence.
"""

from __future__ import annotations

import re
from collections import defaultdict
from contextlib import contextmanager
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import ColumnElement
from sqlalchemy.exc import DBAPIError, NoReferenceError

from ibutsu_tasks.database.names import DIALECT
from ibutsu_tasks.errors import IbutsuTasksError, SettingsError
from ibutsu_tasks.packages import loaded, named_by, resolve_told
from ibutsu_tasks.text.quoting import cut

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from sqlalchemy import Column, ForeignKey, Table

    from ibutsu_tasks.packages import RetentionRule, TaskPackage

_DATES = re.compile(r"(TIMESTAMP|DATE)\b")

_LEFT_TO_POSTGRESQL = ("SET NULL", "SET DEFAULT")
"""How what is said of a deletion begins: columns may follow."""


class Key(NamedTuple):
    """A column whose value is the key of a row of `parent`, with which its own row goes."""

    column: Column[Any]
    parent: Table


def owner_of(rule: RetentionRule) -> TaskPackage:
    """Give the package that brings the rule of this name. Raises SettingsError when none does."""
    for package in loaded().packages:
        if any(one.name == rule.name for one in package.retention):
            return package
    raise SettingsError(f"No task package that is loaded has the retention rule {rule.name}.")


def root_of(rule: RetentionRule) -> Table:
    """Give the table whose dates decide. Raises SettingsError when a prune cannot take it."""
    package = owner_of(rule)
    tables = named_by(package, "tables").tables if package.tables else {}
    if rule.table not in tables:
        raise _wrong(rule, f"names the table {rule.table}, which its package {package.name} does not have")
    root: Table = tables[rule.table]
    if rule.date_column not in root.c:
        raise _wrong(rule, f"names the column {rule.date_column}, which the table {rule.table} does not have")
    if not _DATES.match(_kind_of(root.c[rule.date_column])):
        raise _wrong(rule, f"goes by {rule.table}.{rule.date_column}, which is no date")
    _check_keys(rule, root)
    return root


def condition_of(rule: RetentionRule, root: Table) -> ColumnElement[bool] | None:
    """Give the condition of the rule's `where`, None where it has none. Raises SettingsError."""
    find = function_of(rule, "where")
    if find is None:
        return None
    with telling(rule, "where"):
        condition = find(root)
    if not isinstance(condition, ColumnElement):
        raise gives_no(rule, "where", "condition of SQLAlchemy")
    return condition


def function_of(rule: RetentionRule, part: str) -> Callable[..., Any] | None:
    """Import what the rule names for `part`, None where it names nothing. Raises SettingsError."""
    named = getattr(rule, part)
    return resolve_told(named, _told(rule, part)) if named else None


@contextmanager
def telling(rule: RetentionRule, part: str) -> Iterator[None]:
    """Raise SettingsError for what the function that the rule names for `part` raises in the block.

    What we raise ourselves, and what comes of the database, is let through.
    """
    try:
        yield
    except (IbutsuTasksError, DBAPIError):
        raise
    except (Exception, SystemExit) as error:
        ended = f"{_told(rule, part)} ended with {cut(repr(error), 200)}."
        raise SettingsError(ended, f"Repair {getattr(rule, part)}.") from error


def gives_no(rule: RetentionRule, part: str, wanted: str) -> SettingsError:
    """Give the error of a rule whose function for `part` gives something else."""
    return SettingsError(f"{_told(rule, part)} gives no {wanted}.", f"Repair {getattr(rule, part)}.")


def _told(rule: RetentionRule, part: str) -> str:
    return f"What the rule {rule.name} names as {part}"


def problem_of(rule: RetentionRule) -> str | None:
    """Say why a prune cannot run the rule, None where it can; no service is asked."""
    try:
        condition_of(rule, root_of(rule))
        function_of(rule, "own_ages")
    except SettingsError as error:
        return str(error)
    return None


def key_of(table: Table) -> Column[Any]:
    """Give the column that is the table's key."""
    (key,) = table.primary_key.columns
    return key


def has_time_zone(column: Column[Any]) -> bool:
    """Say whether the dates of a column have a time zone."""
    return "WITH TIME ZONE" in _kind_of(column)


def tables_with_keys(root: Table) -> dict[Table, list[Key]]:
    """Give `root` and the tables whose rows go with its rows, parents before dependants.

    Each comes with its columns that refer to a table before it, and with that table. Raises CycleError where
    no order is one.
    """
    dependants: dict[Table, list[Table]] = defaultdict(list)
    for table in root.metadata.tables.values():
        for key in filter(_takes_along, table.foreign_keys):
            dependants[key.column.table].append(table)
    found: dict[Table, list[Key]] = {root: []}
    for table in (waiting := [root]):
        new = [one for one in dependants[table] if one not in found]
        found |= {one: [] for one in new}
        waiting += new
    for table in found:
        keys = [Key(one.parent, one.column.table) for one in table.foreign_keys if _takes_along(one)]
        found[table] = sorted((one for one in keys if one.parent in found), key=lambda one: one.column.name)
    order = TopologicalSorter({table: [one.parent for one in keys] for table, keys in found.items()})
    return {table: found[table] for table in order.static_order()}


def columns_set_by_postgresql(tables: Mapping[Table, object]) -> list[Column[Any]]:
    """Give the columns that PostgreSQL sets to null or a default when a row of these tables goes."""
    others = next(iter(tables)).metadata.tables.values()
    keys = (one for table in others for one in table.foreign_keys if not _takes_along(one))
    return sorted((one.parent for one in keys if one.column.table in tables), key=str)


def _takes_along(key: ForeignKey) -> bool:
    return not (key.ondelete or "").upper().startswith(_LEFT_TO_POSTGRESQL)


def _kind_of(column: Column[Any]) -> str:
    return str(column.type.compile(DIALECT))


def _check_keys(rule: RetentionRule, root: Table) -> None:
    try:
        tables = tables_with_keys(root)
    except CycleError as error:
        circle = " → ".join(dict.fromkeys(table.name for table in error.args[1]))
        raise _wrong(rule, f"cannot be run: rows refer to rows of their own table, by {circle}") from None
    except NoReferenceError as error:
        raise _wrong(rule, f"cannot be run: {str(error).rstrip('.')}") from None
    for table, keys in tables.items():
        if table.schema:
            raise _wrong(rule, f"cannot be run: {table.name} has a schema of its own")
        if len(table.primary_key.columns) != 1:
            raise _wrong(rule, f"cannot be run: the key of {table.name} is not one column")
        for column, parent in keys:
            if not any(one.column is key_of(parent) for one in column.foreign_keys):
                raise _wrong(rule, f"cannot be run: {column} refers to {parent.name} by more than its key")


def _wrong(rule: RetentionRule, what: str) -> SettingsError:
    return SettingsError(
        f"The retention rule {rule.name} {what}.", "Correct it in its package; until then it deletes nothing."
    )
