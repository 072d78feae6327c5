"""The rows of `imports`: their state, and why it is `error`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import text

from ibutsu_tasks.database.engine import limit_lock_wait
from ibutsu_tasks.database.models import Import
from ibutsu_tasks.errors import RefusedError
from ibutsu_tasks.importers.findings import shown
from ibutsu_tasks.storable import storable_text

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


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


def mark_failed(session: Session, import_id: UUID, sentence: str) -> None:
    """Record why an import failed, unless it is done or deleted; its content stays for another try.

    Nobody holds the row for long, a running import least of all: when its time is over, it is marked before
    its process is ended.
    """
    row = find_locked(session, import_id)
    if row is not None and row.status != "done":
        row.status = "error"
        row.data = data_of(row) | {"error": storable_text(sentence)}


def data_of(row: Import) -> dict[str, Any]:
    """Give what the upload said of itself: `project_id`, `metadata`, `source`, each if at all."""
    return row.data if isinstance(row.data, dict) else {}


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
