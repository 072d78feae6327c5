"""What a prune asks of who archives rows before they go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sqlalchemy import ColumnElement, Table
    from sqlalchemy.orm import Session


class Archiver(Protocol):
    """Archives the rows of one rule. Ids are what it makes of the keys, which are PostgreSQL's text."""

    @property
    def refused(self) -> Collection[Any]:
        """Rows that stay because no archive of them could be made."""

    def archive(self, root_keys: Sequence[str]) -> Collection[Any]:
        """Archive these rows with their dependants; give the ids of those whose archive is in its place."""

    def find_unchanged(self, session: Session, root_ids: Collection[Any]) -> Collection[Any]:
        """Give those that, with their dependants, nobody changed since the last `archive`."""

    def is_written_since(self, table: Table) -> ColumnElement[bool]:
        """Give the condition that a row of `table`, by itself, was written since the last `archive`."""

    def are_among(self, root_ids: Collection[Any]) -> ColumnElement[bool]:
        """Give the condition that a row of the rule's table is one of these."""
