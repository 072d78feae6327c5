"""Imports that are lost: neither ended nor anywhere. Each is sent again, or ended if its content is gone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from ibutsu_tasks.broker.reconciliation import Decision, Fate, Message
from ibutsu_tasks.clock import utc_now
from ibutsu_tasks.database.engine import limit_lock_wait
from ibutsu_tasks.ibutsu.database.models import Import, ImportFile, Run
from ibutsu_tasks.ibutsu.importers.findings import shown
from ibutsu_tasks.ibutsu.operations.imports.records import SENT_AGAIN, data_of, run_id_of
from ibutsu_tasks.ibutsu.operations.imports.uploads import StoredUpload, stored_again
from ibutsu_tasks.text.storable import storable_text

if TYPE_CHECKING:
    from collections.abc import Collection
    from uuid import UUID

    from sqlalchemy import ColumnElement
    from sqlalchemy.orm import Session


MAX_TIMES = 3
"""How often a lost import is sent again by itself: what takes its worker along would do so for ever."""

OPEN = ("pending", "running")


@dataclass(frozen=True, slots=True)
class OpenImport:
    """An import that has not ended."""

    import_id: UUID
    filename: str
    status: str
    created: Any


class ImportRows:
    """The rows of imports, as the reconciliation of any lost work sees them."""

    name = "imports"

    def open_ids(self, session: Session, age_seconds: float) -> list[UUID]:
        """Find the imports that have not ended and are older than that, the oldest first."""
        return [one.import_id for one in open_imports(session, age_seconds)]

    def settle(self, session: Session, row_id: UUID, *, by_hand: bool) -> tuple[Decision, Message | None]:
        """Make the row of a lost import say what happens to it, and give the message to send."""
        statuses = (*OPEN, "error") if by_hand else OPEN
        decision, upload = settle(session, row_id, statuses, None if by_hand else MAX_TIMES)
        return decision, Message(upload.wire_name, (upload.message,)) if upload else None


def open_imports(session: Session, age_seconds: float) -> list[OpenImport]:
    """Find the imports that have not ended and are older than that, the oldest first."""
    # No column says when an import began to run. Its age only covers the moment between row and message;
    # whether one lives is asked elsewhere.
    columns = (Import.id, Import.filename, Import.status, Import.created)
    query = select(*columns).where(*_open_before(age_seconds)).order_by(Import.created)
    return [OpenImport(row[0], row[1] or str(row[0]), row[2] or "", row[3]) for row in session.execute(query)]


def count_open(session: Session, age_seconds: float) -> int:
    """Count the imports that have not ended and are older than that."""
    return session.scalar(select(func.count()).select_from(Import).where(*_open_before(age_seconds))) or 0


def _open_before(age_seconds: float) -> tuple[ColumnElement[bool], ...]:
    return (Import.status.in_(OPEN), Import.created < utc_now() - timedelta(seconds=age_seconds))


def settle(
    session: Session, import_id: UUID, statuses: Collection[str], most_times: int | None
) -> tuple[Decision, StoredUpload | None]:
    """Make the row of a lost import say what happens to it, and give the message to send after the commit.

    Waits for nobody: an import that runs has its content locked, and is left alone.
    """
    has_content = _lock_content(session, import_id)
    row = session.get(Import, import_id, with_for_update={"skip_locked": True}, populate_existing=True)
    if has_content is None or row is None:
        known = session.get(Import, import_id, populate_existing=True)
        return _left(import_id, "it runs right now." if known else "there is no such import."), None
    if row.status not in statuses:
        return _left(import_id, f"it has ended as {row.status}."), None
    if not has_content:
        return _end(session, row, _content_gone(row)), None
    times = _times_sent(row)
    if most_times is not None and times >= most_times:
        return _end(session, row, _lost_too_often(times)), None
    kept = {key: value for key, value in data_of(row).items() if key not in {"error", SENT_AGAIN}}
    row.data = kept if most_times is None else kept | {SENT_AGAIN: times + 1}
    row.status = "pending"
    return Decision(import_id, Fate.SENT, "its message was nowhere."), stored_again(session, row)


def _lock_content(session: Session, import_id: UUID) -> bool | None:
    """Lock an import's content; False when it is gone, None when somebody else has it."""
    limit_lock_wait(session)
    query = select(ImportFile.id).where(ImportFile.import_id == import_id, ImportFile.content.is_not(None))
    if session.execute(query.limit(1).with_for_update(skip_locked=True)).first():
        return True
    return None if session.execute(query.limit(1)).first() else False


def _end(session: Session, row: Import, sentence: str) -> Decision:
    run_id = run_id_of(row)
    if run_id and session.get(Run, run_id):
        # A worker of an unmodified server that is given an import again says it runs, and never more.
        row.status = "done"
        return Decision(row.id, Fate.ENDED, "as done: its run is there.")
    row.status = "error"
    row.data = data_of(row) | {"error": storable_text(sentence)}
    return Decision(row.id, Fate.ENDED, f"as error: {sentence}")


def _left(import_id: UUID, reason: str) -> Decision:
    return Decision(import_id, Fate.LEFT, reason)


def _content_gone(row: Import) -> str:
    return f"The content of {shown(row.filename or str(row.id))} is no longer stored; upload the file again."


def _lost_too_often(times: int) -> str:
    return (
        f"The import was lost {times + 1} times, each time with the worker or the queue that had it;"
        " it is not tried again by itself."
    )


def _times_sent(row: Import) -> int:
    times = data_of(row).get(SENT_AGAIN)
    return times if isinstance(times, int) else 0
