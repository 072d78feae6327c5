"""The columns of a parsed result or artifact: its own values, what all rows share, and what it refers to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from ibutsu_tasks.database.models import Project, Result, Run

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy.orm import Session

    from ibutsu_tasks.importers.parsed import ParsedArtifact, ParsedResult


MAX_SENTENCES = 20


@dataclass(frozen=True, slots=True)
class RowTarget:
    """What every row of an import shares. Times are naive UTC."""

    run_id: UUID
    project_id: UUID | None
    start_time: datetime
    upload_date: datetime
    run_existed: bool
    keeps_results: bool
    """Whether a result that exists already is moved to the run as it is, or replaced."""
    chosen_project_id: UUID | None = None
    """The project the uploader named, which goes before that of an archived row."""


class References:
    """Looks up, once each, whether a row that an archived one refers to is there."""

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


@dataclass(frozen=True, slots=True)
class RowColumns:
    """Maps rows of a file to columns; `existing` gives what an archived row refers to, if that is there."""

    _target: RowTarget
    _existing: Callable[[type[Project | Result | Run], UUID | None], UUID | None]

    def of_result(self, result: ParsedResult) -> dict[str, Any]:
        """Give the row of a result."""
        if result.archived is not None:
            chosen = self._target.chosen_project_id
            project_id = chosen or self._existing(Project, result.archived["project_id"])
            return {**result.archived, "run_id": self._target.run_id, "project_id": project_id}
        return {
            "id": result.id,
            "project_id": self._target.project_id,
            "run_id": self._target.run_id,
            "test_id": result.test_id,
            "result": result.result,
            "data": result.data,
            "params": result.params,
            "duration": result.duration_seconds,
            "start_time": result.start_time or self._target.start_time,
            "source": result.source,
            "env": result.env,
            "component": result.component,
        }

    def of_artifact(self, artifact: ParsedArtifact) -> dict[str, Any]:
        """Give the row of an artifact, its content among the columns."""
        if artifact.archived is not None:
            return {"content": artifact.content, **artifact.archived, **self._owners(artifact)}
        owner = (
            {"resultId": str(artifact.result_id)}
            if artifact.result_id
            else {"runId": str(self._target.run_id)}
        )
        return {
            "id": artifact.id,
            "content": artifact.content,
            "result_id": artifact.result_id,
            "run_id": None if artifact.result_id else self._target.run_id,
            "filename": artifact.filename,
            "data": {"contentType": artifact.content_type, **owner},
            "upload_date": self._target.upload_date,
        }

    def _owners(self, artifact: ParsedArtifact) -> dict[str, UUID | None]:
        """Give the result and the run an archived artifact belonged to; one of them is of this archive."""
        stated = artifact.archived or {}
        result_id, run_id = stated["result_id"], stated["run_id"]
        if artifact.result_id is None:
            run_id, result_id = self._target.run_id, self._existing(Result, result_id)
        else:
            result_id = artifact.result_id
            if run_id != self._target.run_id:
                run_id = self._existing(Run, run_id)
        return {"result_id": result_id, "run_id": run_id}
