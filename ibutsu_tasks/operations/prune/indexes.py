"""The indexes a prune needs. Without one, every batch would read whole tables, for hours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ibutsu_tasks.database.indexes import MissingIndex, read_catalogue
from ibutsu_tasks.database.models import Base
from ibutsu_tasks.errors import RefusedError
from ibutsu_tasks.operations.prune.due import tables_with_keys
from ibutsu_tasks.retention import RETENTION_RULES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Column
    from sqlalchemy.orm import Session

    from ibutsu_tasks.database.indexes import Catalogue
    from ibutsu_tasks.retention import RetentionRule


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


def check_indexes(session: Session, rule: RetentionRule) -> None:
    """Raise RefusedError, naming the first one and what makes it, when `rule` lacks an index."""
    missing = missing_indexes(read_catalogue(session.connection()), [rule])
    if missing:
        raise refusal(rule.name, missing[0])


def refusal(rule_name: str, index: MissingIndex) -> RefusedError:
    """Give the error of a prune that lacks an index."""
    return RefusedError(f"{rule_name} is not pruned: {describe(index)}", remedy(index))


def describe(index: MissingIndex) -> str:
    """Say in one sentence what is missing."""
    if index.is_broken:
        return f"the index on {index.table}.{index.column} is being built, or its build failed."
    return f"no index begins with {index.table}.{index.column}, so every batch would read the whole table."


def remedy(index: MissingIndex) -> str:
    """Say in one sentence what makes it."""
    return f"Run `{index.statement}` on the database; others can read and write meanwhile."
