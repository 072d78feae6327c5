"""Results and artifacts of an import, written in batches of bounded memory."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, func, select, update

from ibutsu_tasks.database.copying import CopyBatch
from ibutsu_tasks.database.models import Artifact, Project, Result, Run
from ibutsu_tasks.importers.findings import shown
from ibutsu_tasks.importers.parsed import ParsedArtifact, ParsedResult
from ibutsu_tasks.operations.references import References

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy.orm import Session

BATCH_ROWS = 2000
BATCH_BYTES = 4 * 1024**2

MAX_ARTIFACT_BYTES = 500_000_000
"""PostgreSQL sends a `bytea` as text of twice its size, at most 1 GiB: more could never be read back."""

PROGRESS_INTERVAL_SECONDS = 0.2


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


@dataclass(slots=True)
class WrittenRows:
    """What a `RowWriter` did so far."""

    results: int = 0
    artifacts: int = 0
    left_runs: set[UUID] = field(default_factory=set)
    """The runs that results were moved away from."""
    too_large: list[str] = field(default_factory=list)
    """Sentences about artifacts left out."""
    missing: list[str] = field(default_factory=list)
    """Sentences about what archived rows refer to and is not there."""


class RowWriter:
    """Writes rows of one import in the order of their keys: results, then the artifacts that name them."""

    def __init__(
        self, session: Session, target: RowTarget, on_progress: Callable[[int], None] | None = None
    ) -> None:
        self._session = session
        self._target = target
        self._on_progress = on_progress
        self._reported = -math.inf
        self._results = CopyBatch(Result)
        self._artifacts = CopyBatch(Artifact)
        self.written = WrittenRows()
        self.references = References(session, self.written.missing)

    def write(self, rows: Iterable[ParsedResult | ParsedArtifact]) -> WrittenRows:
        """Consume all rows."""
        for row in rows:
            if isinstance(row, ParsedResult):
                self._results.add(self._result_columns(row))
            else:
                self._add_artifact(row)
            if self._is_full():
                self._flush()
            self._report()
        self._flush()
        return self.written

    def _add_artifact(self, artifact: ParsedArtifact) -> None:
        size_bytes = len(artifact.content)
        if size_bytes > MAX_ARTIFACT_BYTES:
            self.written.too_large.append(
                f"The file {shown(artifact.filename)} of {size_bytes:,} bytes was left out;"
                f" {MAX_ARTIFACT_BYTES:,} are the limit."
            )
            return
        self._artifacts.add(self._artifact_columns(artifact))

    def _is_full(self) -> bool:
        batches = (self._results, self._artifacts)
        return (
            max(map(len, batches)) >= BATCH_ROWS or sum(batch.size_bytes for batch in batches) >= BATCH_BYTES
        )

    def _flush(self) -> None:
        if self._target.keeps_results:
            self._move_existing_results()
        elif self._target.run_existed:
            self._delete_results()
        if self._target.keeps_results or self._target.run_existed:
            self._session.execute(delete(Artifact).where(Artifact.id.in_(self._artifacts.ids)))
        self.written.results += self._results.write(self._session)
        self.written.artifacts += self._artifacts.write(self._session)

    def _move_existing_results(self) -> None:
        query = select(Result.id, Result.run_id).where(Result.id.in_(self._results.ids))
        existing = {row.id: row.run_id for row in self._session.execute(query.with_for_update())}
        moved = {result_id for result_id, run_id in existing.items() if run_id != self._target.run_id}
        if moved:
            self._session.execute(
                update(Result)
                .where(Result.id.in_(moved))
                .values(
                    run_id=self._target.run_id,
                    project_id=func.coalesce(self._target.project_id, Result.project_id),
                )
            )
            self.written.left_runs |= {existing[result_id] for result_id in moved} - {None}
        self._results.discard(existing)
        self.written.results += len(existing)

    def _delete_results(self) -> None:
        ids = self._results.ids
        if ids:
            self._session.execute(delete(Artifact).where(Artifact.result_id.in_(ids)))
            self._session.execute(delete(Result).where(Result.id.in_(ids)))

    def _report(self) -> None:
        if self._on_progress is None or time.monotonic() - self._reported < PROGRESS_INTERVAL_SECONDS:
            return
        self._reported = time.monotonic()
        self._on_progress(self.written.results + len(self._results))

    def _result_columns(self, result: ParsedResult) -> dict[str, Any]:
        if result.archived is not None:
            chosen = self._target.chosen_project_id
            project_id = chosen or self.references.check(Project, result.archived["project_id"])
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

    def _artifact_columns(self, artifact: ParsedArtifact) -> dict[str, Any]:
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
            run_id, result_id = self._target.run_id, self.references.check(Result, result_id)
        else:
            result_id = artifact.result_id
            if run_id != self._target.run_id:
                run_id = self.references.check(Run, run_id)
        return {"result_id": result_id, "run_id": run_id}
