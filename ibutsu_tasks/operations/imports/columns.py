"""The columns of a parsed result or artifact: its own values, and what all rows of an import share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ibutsu_tasks.database.models import Project, Result, Run

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from uuid import UUID

    from ibutsu_tasks.importers.parsed import ParsedArtifact, ParsedResult


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
