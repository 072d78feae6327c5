"""The rows of `imports`: their state, why it is `error`, and what those that ended came to."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import select, text

from ibutsu_tasks.clock import utc_now
from ibutsu_tasks.database.engine import limit_lock_wait
from ibutsu_tasks.errors import RefusedError
from ibutsu_tasks.ibutsu.database.models import Import, Run
from ibutsu_tasks.ibutsu.importers.findings import shown
from ibutsu_tasks.text.storable import storable_json, storable_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.orm import Session

PARTIAL = "partial"
"""Key in the data of an import: true asks to keep what stands before a break of the file, a sentence says
what came of it. A run has the sentence."""

SENT_AGAIN = "sent_again"
"""Key in the data of an import: how often it was lost and sent again since it last ended."""

ENDED = frozenset({"done", "error"})

STATUSES = ("pending", "running", "done", "error")
"""Every state of an import, in the order in which it has them."""


@dataclass(frozen=True, slots=True)
class ImportOutcome:
    """The state of one import. `status` is None when its row is gone.

    `summary` has the ten keys of a run's summary and is None until there is a run.
    """

    filename: str
    status: str | None
    error: str | None = None
    warnings: tuple[str, ...] = ()
    partial: str | None = None
    """Where the file broke and what was kept, of an import that asked for that."""
    run_id: UUID | None = None
    summary: dict[str, Any] | None = None
    duration_seconds: float | None = None
    age_seconds: float = 0.0
    """How long ago it was uploaded."""

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will happen to it by itself."""
        return self.status is None or self.status in ENDED


def parse_import_id(message: object) -> UUID:
    """Give the import's id from the message of the API server.

    Raises RefusedError when it has none: there is no row to report a failure in.
    """
    identifier = message.get("id") if isinstance(message, dict) else None
    try:
        return UUID(str(identifier))
    except ValueError:
        raise RefusedError(
            f"The message names no import: its id is {shown(repr(identifier))}.",
            "Send an object with the id of a row of `imports`.",
        ) from None


def start(session: Session, import_id: UUID) -> None:
    """Show that the import is being worked on, unless it is done. Raises RefusedError when there is none."""
    row = _existing(find_locked(session, import_id), import_id)
    if row.status != "done":
        # Whoever crashes loses no more than this word; the message comes again.
        session.execute(text("SET LOCAL synchronous_commit = off"))
        row.status = "running"


def mark_failed(session: Session, import_id: UUID, sentence: str, warnings: Sequence[str] = ()) -> None:
    """Record why an import failed, unless it is done or deleted; its content stays for another try.

    `warnings` are those of its file, as far as it was read.

    Nobody holds the row for long, a running import least of all: when its time is over, it is marked before
    its process is ended.
    """
    row = find_locked(session, import_id)
    if row is not None and row.status != "done":
        row.status = "error"
        before = {key: value for key, value in data_of(row).items() if key != "warnings"}
        told = {"warnings": storable_json(list(warnings))} if warnings else {}
        row.data = before | {"error": storable_text(sentence)} | told


def data_of(row: Import) -> dict[str, Any]:
    """Give what the upload said of itself: `project_id`, `metadata`, `source`, each if at all."""
    return row.data if isinstance(row.data, dict) else {}


def run_id_of(row: Import) -> UUID | None:
    """Give the run that an import became, as its data name it."""
    run_ids = data_of(row).get("run_id")
    try:
        return UUID(str(run_ids[0])) if isinstance(run_ids, list) and run_ids else None
    except ValueError:
        return None


def partial_of(row: Import) -> str | None:
    """Say where the file broke and what was kept, of an import that asked for that."""
    sentence = data_of(row).get(PARTIAL)
    return sentence if isinstance(sentence, str) else None


def current_row(session: Session, import_id: UUID) -> Import:
    """Give an import's row as it is now. Raises RefusedError when there is none."""
    return _existing(session.get(Import, import_id, populate_existing=True), import_id)


def find_locked(session: Session, import_id: UUID) -> Import | None:
    """Lock an import's row for this transaction, in which no lock is waited for any longer than 10 s."""
    limit_lock_wait(session)
    return session.get(Import, import_id, with_for_update=True, populate_existing=True)


def _existing(row: Import | None, import_id: UUID) -> Import:
    if row is None:
        raise RefusedError(f"There is no import {import_id}.", "Its row was deleted; upload the file again.")
    return row


def read_outcomes(session: Session, import_ids: Sequence[UUID]) -> list[ImportOutcome]:
    """Read the state of imports, in the order asked for, in two queries."""
    rows = {row.id: row for row in _select_fresh(session, Import, import_ids)}
    run_ids = {import_id: run_id_of(row) for import_id, row in rows.items()}
    runs = {run.id: run for run in _select_fresh(session, Run, [one for one in run_ids.values() if one])}
    return [
        _outcome(rows.get(import_id), runs.get(run_ids.get(import_id) or import_id))
        for import_id in import_ids
    ]


def _select_fresh(session: Session, model: Any, ids: Sequence[UUID]) -> list[Any]:
    query = select(model).where(model.id.in_(ids)).execution_options(populate_existing=True)
    return list(session.scalars(query))


def _outcome(row: Import | None, run: Run | None) -> ImportOutcome:
    if row is None:
        return ImportOutcome("", None)
    data = data_of(row)
    return ImportOutcome(
        filename=row.filename or "",
        status=row.status,
        error=data.get("error"),
        warnings=tuple(data.get("warnings") or ()),
        partial=partial_of(row),
        run_id=run.id if run else None,
        summary=run.summary if run and isinstance(run.summary, dict) else None,
        duration_seconds=_finite(run.duration) if run else None,
        age_seconds=max((utc_now() - row.created).total_seconds(), 0.0),
    )


def _finite(seconds: float | None) -> float | None:
    # Whoever writes through the API may write NaN, and an archive brings it back.
    return seconds if seconds is not None and math.isfinite(seconds) else None
