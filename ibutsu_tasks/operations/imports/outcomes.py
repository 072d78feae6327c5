"""The state of imports, and the results of those that ended."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import select

from ibutsu_tasks.database.models import Import, Run
from ibutsu_tasks.operations.imports.partial import PARTIAL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.orm import Session

ENDED = frozenset({"done", "error"})


@dataclass(frozen=True, slots=True)
class ImportOutcome:
    """The state of one import. `status` is None when its row is gone.

    `summary` has the ten keys of a run's summary and is None until there is a run.
    """

    import_id: UUID
    filename: str
    status: str | None
    error: str | None = None
    warnings: tuple[str, ...] = ()
    partial: str | None = None
    """Where the file broke and what was kept, of an import that asked for that."""
    run_id: UUID | None = None
    summary: dict[str, Any] | None = None
    duration_seconds: float | None = None

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will happen to it by itself."""
        return self.status is None or self.status in ENDED


def read_outcomes(session: Session, import_ids: Sequence[UUID]) -> list[ImportOutcome]:
    """Read the state of imports, in the order asked for, in two queries."""
    rows = {row.id: row for row in _select_fresh(session, Import, import_ids)}
    run_ids = {import_id: _run_id(row) for import_id, row in rows.items()}
    runs = {run.id: run for run in _select_fresh(session, Run, [one for one in run_ids.values() if one])}
    return [
        _outcome(import_id, rows.get(import_id), runs.get(run_ids.get(import_id) or import_id))
        for import_id in import_ids
    ]


def _select_fresh(session: Session, model: Any, ids: Sequence[UUID]) -> list[Any]:
    query = select(model).where(model.id.in_(ids)).execution_options(populate_existing=True)
    return list(session.scalars(query))


def _run_id(row: Import) -> UUID | None:
    run_ids = (row.data or {}).get("run_id")
    try:
        return UUID(str(run_ids[0])) if isinstance(run_ids, list) and run_ids else None
    except ValueError:
        return None


def _outcome(import_id: UUID, row: Import | None, run: Run | None) -> ImportOutcome:
    if row is None:
        return ImportOutcome(import_id, "", None)
    data = row.data or {}
    partial = data.get(PARTIAL)
    return ImportOutcome(
        import_id=import_id,
        filename=row.filename or "",
        status=row.status,
        error=data.get("error"),
        warnings=tuple(data.get("warnings") or ()),
        partial=partial if isinstance(partial, str) else None,
        run_id=run.id if run else None,
        summary=run.summary if run and isinstance(run.summary, dict) else None,
        duration_seconds=_finite(run.duration) if run else None,
    )


def _finite(seconds: float | None) -> float | None:
    # Whoever writes through the API may write NaN, and an archive brings it back.
    return seconds if seconds is not None and math.isfinite(seconds) else None
