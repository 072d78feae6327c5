"""The columns of a parsed result or artifact: its own values, what all rows share, and what it belongs to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from ibutsu_tasks.ibutsu.database.models import Project

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy.orm import Session

    from ibutsu_tasks.ibutsu.importers.parsed import ParsedArtifact, ParsedResult


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
    meets_rows: bool = True
    """Whether rows of the same ids may be there already."""
    chosen_project_id: UUID | None = None
    """The project the uploader named, which goes before that of an archived row."""
    stated_run_id: UUID | None = None
    """The id that the archived rows of a run know it by."""


class References:
    """Looks up, once each, whether a project that an archived row refers to is there."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.missing: list[str] = []
        """Sentences about projects that are not there, at most `MAX_SENTENCES`."""
        self._found: dict[UUID, bool] = {}

    def knows(self, project_id: UUID | None) -> bool:
        """Say whether `check` answers without asking the database."""
        return project_id is None or project_id in self._found

    def check(self, project_id: UUID | None) -> UUID | None:
        """Give the id, or None when there is no such project; then a sentence goes to `missing`."""
        if project_id is None:
            return None
        if project_id not in self._found:
            query = select(Project.id).where(Project.id == project_id)
            self._found[project_id] = self._session.scalar(query) is not None
            if not self._found[project_id] and len(self.missing) < MAX_SENTENCES:
                self.missing.append(
                    f"The archive refers to the project {project_id}, which is not there; left out."
                )
        return project_id if self._found[project_id] else None


@dataclass(frozen=True, slots=True)
class RowColumns:
    """Maps rows of a file to columns; `existing` gives the project of an archived row, if that is there."""

    _target: RowTarget
    _existing: Callable[[UUID | None], UUID | None]

    def of_result(self, result: ParsedResult) -> dict[str, Any]:
        """Give the row of a result."""
        if result.archived is not None:
            chosen = self._target.chosen_project_id
            project_id = chosen or self._existing(result.archived["project_id"])
            data = self._told(result.archived["data"], "run")
            return {**result.archived, "run_id": self._target.run_id, "project_id": project_id, "data": data}
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
        whole = {"filename_whole": artifact.whole_filename} if artifact.whole_filename else {}
        return {
            "id": artifact.id,
            "content": artifact.content,
            "result_id": artifact.result_id,
            "run_id": None if artifact.result_id else self._target.run_id,
            "filename": artifact.filename,
            "data": {"contentType": artifact.content_type, **owner, **whole},
            "upload_date": self._target.upload_date,
        }

    def _owners(self, artifact: ParsedArtifact) -> dict[str, Any]:
        """Give what an archived artifact belongs to and says of it: rows of this file, whatever it states."""
        stated = artifact.archived or {}
        of_run = artifact.result_id is None or stated["run_id"] == self._target.stated_run_id
        data = self._told(stated["data"], "runId")
        if artifact.result_id is not None:
            data = _told(data, "resultId", stated["result_id"], artifact.result_id)
        return {
            "id": artifact.id,
            "result_id": artifact.result_id,
            "run_id": self._target.run_id if of_run else None,
            "data": data,
        }

    def _told(self, data: Any, key: str) -> Any:
        return _told(data, key, self._target.stated_run_id, self._target.run_id)


def _told(data: Any, key: str, stated: UUID | None, own: UUID) -> Any:
    """Tell the data of a row that the id they name became another."""
    if stated != own and isinstance(data, dict) and data.get(key) == str(stated):
        return data | {key: str(own)}
    return data
