"""Storing a file as the Ibutsu API server does, and the message it would publish."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING, Any
from uuid import UUID, uuid4

from sqlalchemy import func, select

from ibutsu_tasks.clock import utc_now
from ibutsu_tasks.errors import InvalidImportError
from ibutsu_tasks.ibutsu.database.copying import copy_rows
from ibutsu_tasks.ibutsu.database.models import Import, ImportFile
from ibutsu_tasks.ibutsu.importers.detection import detect_format
from ibutsu_tasks.ibutsu.importers.findings import shown
from ibutsu_tasks.ibutsu.importers.formats import ARCHIVE, JUNIT, format_of, formats
from ibutsu_tasks.ibutsu.importers.parsed import SpooledContent
from ibutsu_tasks.ibutsu.importers.reading import refuse_large_upload
from ibutsu_tasks.ibutsu.operations.imports.records import PARTIAL
from ibutsu_tasks.text.storable import storable_json, storable_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sqlalchemy.orm import Session

HEAD_BYTES = 64 * 1024
"""What of a stored file tells its format."""


@dataclass(frozen=True, slots=True)
class StoredUpload:
    """A stored file: publish `message` as the one positional argument of `wire_name` after the commit.

    `message["created"]` is a naive UTC `datetime`; kombu's JSON gives it the form the API server sends.
    """

    import_id: UUID
    wire_name: str
    message: dict[str, Any]


def store_upload(
    session: Session,
    filename: str,
    content: Path | bytes,
    *,
    project_id: UUID | None = None,
    metadata: dict[str, Any] | None = None,
    source: str | None = None,
    keeps_partial: bool = False,
) -> StoredUpload:
    """Write the rows of an upload, its content streamed from the file, and what is said along with it.

    `keeps_partial` says whether a file that breaks is to keep the test cases before the break.
    Raises InvalidImportError for a file that cannot be read, or is larger than PostgreSQL holds in one
    value. Whatever else is wrong with it, its import will say.
    """
    name = shown(filename)
    data: dict[str, Any] = {"project_id": str(project_id)} if project_id else {}
    data["metadata"] = storable_json(metadata)
    if source:
        data["source"] = storable_text(source)
    if keeps_partial:
        data[PARTIAL] = True
    row = Import(
        id=uuid4(),
        filename=storable_text(filename),
        format="",
        data=data,
        status="pending",
        created=utc_now(),
    )
    try:
        with io.BytesIO(content) if isinstance(content, bytes) else content.open("rb") as file:
            size_bytes = file.seek(0, os.SEEK_END)
            refuse_large_upload(filename, size_bytes)
            session.add(row)
            spooled = SpooledContent(file, 0, size_bytes)
            copy_rows(session, ImportFile, [{"id": uuid4(), "import_id": row.id, "content": spooled}])
            wire_name = _task_of(file, filename)
    except OSError as error:
        raise InvalidImportError(
            f"{name} cannot be read: {error.strerror}.", "Name a file you can read."
        ) from None
    except EOFError:
        raise InvalidImportError(f"{name} became shorter while it was read.", "Try again.") from None
    return StoredUpload(row.id, wire_name, message_of(row))


def stored_again(session: Session, row: Import) -> StoredUpload:
    """Give the message of an import whose content is stored, to be published once more."""
    head = func.substr(ImportFile.content, 1, HEAD_BYTES)
    query = select(head).where(ImportFile.import_id == row.id, ImportFile.content.is_not(None)).limit(1)
    with io.BytesIO(session.scalar(query) or b"") as file:
        return StoredUpload(row.id, _task_of(file, row.filename or ""), message_of(row))


def message_of(row: Import) -> dict[str, Any]:
    """Give the argument that the API server publishes for an import, its keys in the server's order."""
    return {
        "id": str(row.id),
        "filename": row.filename,
        "format": row.format,
        "status": row.status,
        "created": row.created,
        "metadata": row.data,
    }


def _task_of(file: IO[bytes], filename: str) -> str:
    importers = formats()
    try:
        name = detect_format(file, filename)
    except Exception:  # noqa: BLE001 - whatever a package does that is to recognize it
        # Its import ends in `error` with this very sentence, where everybody looks for it.
        name = ARCHIVE if filename.lower().endswith((".tar.gz", ".tgz")) else JUNIT
    return importers.get(name, next(iter(importers.values()))).task


def sent_at(task: str | None, args: Sequence[Any]) -> float | None:
    """Give when an API server sent an import's message, in seconds since 1970: when the file was uploaded."""
    if format_of(task) is None or not args:
        return None
    try:
        moment = datetime.fromisoformat(args[0]["created"]["__value__"])
        return moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()
    except (ValueError, LookupError, TypeError, OverflowError):
        return None
