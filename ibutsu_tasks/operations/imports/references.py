"""What archived rows refer to, which may be gone from the database they come back to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy.orm import Session

    from ibutsu_tasks.database.models import Project, Result, Run

MAX_SENTENCES = 20


class References:
    """Looks up, once each, whether a row that another refers to is there."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.missing: list[str] = []
        """Sentences about rows that are not there, at most `MAX_SENTENCES`."""
        self._found: dict[tuple[str, UUID], bool] = {}

    def knows(self, model: type[Project | Result | Run], row_id: UUID | None) -> bool:
        """Say whether `check` answers without asking the database."""
        return row_id is None or (model.__tablename__, row_id) in self._found

    def check(self, model: type[Project | Result | Run], row_id: UUID | None) -> UUID | None:
        """Give the id, or None when there is no such row; then a sentence goes to `missing`."""
        if row_id is None:
            return None
        key = (model.__tablename__, row_id)
        if key not in self._found:
            query = select(model.id).where(model.id == row_id)
            self._found[key] = self._session.scalar(query) is not None
            if not self._found[key] and len(self.missing) < MAX_SENTENCES:
                self.missing.append(
                    f"The archive refers to {row_id} of {model.__tablename__}, which is not there; left out."
                )
        return row_id if self._found[key] else None
