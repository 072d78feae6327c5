"""The bytes of uploads: as the database keeps them until they are imported, and as they are read then."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING
from uuid import UUID

from sqlalchemy import case, func, select, update

from ibutsu_tasks.database.engine import limit_lock_wait
from ibutsu_tasks.errors import IbutsuTasksError
from ibutsu_tasks.ibutsu.database.copying import read_into
from ibutsu_tasks.ibutsu.database.models import ImportFile
from ibutsu_tasks.ibutsu.importers.formats import format_of
from ibutsu_tasks.ibutsu.operations.imports.records import data_of, find_locked, parse_import_id

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import ColumnElement
    from sqlalchemy.orm import Session

    from ibutsu_tasks.ibutsu.database.models import Import
    from ibutsu_tasks.resources import Resources

IN_MEMORY_BYTES = 8 * 1024**2

SMALL_BYTES = 256 * 1024
"""Content of most uploads: it comes at once with its row."""


OnProgress = Callable[[int, int, int], None]
"""Takes the number of test cases done, the bytes of the file that were read, and how many it has."""


@contextmanager
def open_content(
    session: Session,
    import_id: UUID,
    *,
    small_bytes: int = SMALL_BYTES,
    in_memory_bytes: int = IN_MEMORY_BYTES,
) -> Iterator[IO[bytes] | None]:
    """Give an import's content as a file at position 0; None when it is not there (any more).

    The session's transaction has it for itself: a second delivery of the import waits here, for at most 10 s,
    and then finds none. It is fetched in pieces, and kept in a temporary file when it is larger than
    `in_memory_bytes`.
    """
    limit_lock_wait(session)
    found = _content_row(session, import_id, small_bytes)
    if found is None:
        yield None
        return
    file_id, small = found
    with tempfile.SpooledTemporaryFile(max_size=in_memory_bytes) as content:
        if small is None:
            read_into(content, session, ImportFile.content, file_id)
        else:
            content.write(small)
        content.seek(0)
        yield content


def _content_row(session: Session, import_id: UUID, small_bytes: int) -> tuple[UUID, bytes | None] | None:
    """Give the id of the row with the content, and the content itself when it has at most `small_bytes`."""
    is_small = func.octet_length(ImportFile.content) <= small_bytes
    query = (
        select(ImportFile.id, case((is_small, ImportFile.content)))
        .where(*_with_content(import_id))
        .order_by(ImportFile.id)
        .limit(1)
        .with_for_update()
    )
    row = session.execute(query).one_or_none()
    return None if row is None else (row[0], row[1])


class WatchedContent:
    """The content of an import, at position 0, that reports how far it was read.

    A file may be looked into before it is read, and read again where that is needed: it has been read to the
    farthest position there was since `start`.
    """

    def __init__(self, content: IO[bytes], on_progress: OnProgress) -> None:
        self._content = content
        self._on_progress = on_progress
        self._is_started = False
        self._read_bytes = 0
        self._results = 0
        self._size_bytes = content.seek(0, os.SEEK_END)
        content.seek(0)
        self._report()

    def start(self) -> None:
        """Count what is read from now on."""
        self._is_started = True

    def read(self, size: int = -1, /) -> bytes:
        """Read as the file does, and report."""
        data = self._content.read(size)
        if self._is_started:
            self._read_bytes = max(self._read_bytes, self._content.tell())
        self._report()
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Go to a position as the file does."""
        return self._content.seek(offset, whence)

    def seekable(self) -> bool:
        """Whether positions can be gone to, which the readers of packed files ask."""
        return True

    def tell(self) -> int:
        """Give the position in the file."""
        return self._content.tell()

    def wrote(self, results: int) -> None:
        """Report how many test cases are done."""
        self._results = results
        self._report()

    def _report(self) -> None:
        self._on_progress(self._results, self._read_bytes, self._size_bytes)


def drop_content(session: Session, import_id: UUID) -> None:
    """Forget an import's content and keep its rows."""
    session.execute(update(ImportFile).where(*_with_content(import_id)).values(content=None))


def _with_content(import_id: UUID) -> tuple[ColumnElement[bool], ...]:
    return (ImportFile.import_id == import_id, ImportFile.content.is_not(None))


def clear_content(session: Session, import_id: str) -> str:
    """Drop the bytes of a finished import; the answers are the Ibutsu server's own.

    A failed import keeps its bytes, so that it can run again.
    """
    try:
        row = _locked_with_content(session, UUID(import_id))
    except (ValueError, TypeError, AttributeError):
        row = None
    if row is None:
        return f"Import {import_id} not found"
    if row.status != "done":
        return f"Import {import_id} status is {row.status}, not clearing content"
    size = func.coalesce(func.sum(func.octet_length(ImportFile.content)), 0)
    size_bytes = session.execute(select(size).where(*_with_content(row.id))).scalar_one()
    drop_content(session, row.id)
    if not size_bytes:
        return f"No content to clear for import {import_id}"
    return f"Cleared {size_bytes} bytes from import_file for import {import_id}"


def _locked_with_content(session: Session, import_id: UUID) -> Import | None:
    # In the order of a running import, lest the two wait for one another.
    limit_lock_wait(session)
    session.execute(select(ImportFile.id).where(*_with_content(import_id)).with_for_update())
    return find_locked(session, import_id)


def reopen(session: Session, import_id: UUID) -> str | None:
    """Let an import that ended as `error` wait again, if its content is there; say what is in the way."""
    row = find_locked(session, import_id)
    if row is None:
        return f"the row of import {import_id} was deleted"
    has_content = (ImportFile.import_id == import_id) & ImportFile.content.is_not(None)
    if row.status != "done" and not session.scalar(select(func.count()).where(has_content)):
        return f"the content of import {import_id} is gone; upload the file again"
    if row.status == "error":
        row.status = "pending"
        row.data = {name: value for name, value in data_of(row).items() if name != "error"}
    return None


def reopen_message(resources: Resources, task: str | None, about: str | None) -> str | None:
    """Have the row of an import wait again, before its message is sent again; say what is in the way."""
    if format_of(task) is None:
        return None
    try:
        import_id = parse_import_id({"id": about})
    except IbutsuTasksError as error:
        return str(error).rstrip(".")
    with resources.session() as session:
        return reopen(session, import_id)
