"""Rows in bulk and large values through `COPY ... (FORMAT BINARY)`: a signature, the rows, a trailer."""

from __future__ import annotations

import struct
from contextlib import closing
from itertools import chain
from typing import IO, TYPE_CHECKING, Any, cast

import psycopg2
from sqlalchemy.exc import DBAPIError

from ibutsu_tasks.ibutsu.database.row_encoding import RowEncoder

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from uuid import UUID

    from sqlalchemy import Table
    from sqlalchemy.orm import InstrumentedAttribute, Session

    from ibutsu_tasks.ibutsu.database.models import Base
    from ibutsu_tasks.ibutsu.database.row_encoding import Row
    from ibutsu_tasks.ibutsu.importers.parsed import Content

_SIGNATURE = b"PGCOPY\n\xff\r\n\0" + struct.pack("!ii", 0, 0)
_TRAILER = struct.pack("!h", -1)
_READ_BYTES = 1024 * 1024
"""Enough that a thread that copies seldom waits for the one that works beside it in Python."""

SLICE_BYTES = 1024**2

# A compressed value is unpacked from its beginning for each slice of it, which takes quadratic time. Here it
# is unpacked once: the inner query, which OFFSET 0 keeps apart, makes a plain copy, and that one is sliced.
_SLICES = """
COPY (
    SELECT at, substring(whole.content FROM at FOR {slice_bytes})
    FROM (SELECT substring({column} FROM 1) AS content FROM {table} WHERE id = '{row_id}' OFFSET 0) AS whole
    CROSS JOIN LATERAL generate_series(1, octet_length(whole.content), {slice_bytes}) AS at
) TO STDOUT (FORMAT BINARY)
"""

_ROW_HEAD = struct.Struct("!hiii")
"""The number of fields, the length and value of the first (`at`), the length of the second."""


class CopyBatch:
    """Encoded rows of one table, waiting to be written together. A row added again replaces the first."""

    def __init__(self, model: type[Base]) -> None:
        self._table = table_of(model)
        self._encoder = RowEncoder(self._table)
        self._rows: dict[UUID, bytes | list[Content]] = {}
        self.size_bytes = 0
        """What the rows take in memory, less what is kept outside it."""
        self.reads_files = False
        """Whether something is kept outside it."""

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def ids(self) -> list[UUID]:
        """The identifiers of the rows, in the order they were added."""
        return list(self._rows)

    def add(self, row: Row) -> None:
        """Encode a row, which has an `id`."""
        encoded = self._rows[row["id"]] = self._encoder.encode(row)
        if isinstance(encoded, bytes):
            self.size_bytes += len(encoded)
        else:
            self.size_bytes += sum(len(piece) for piece in encoded if isinstance(piece, bytes))
            self.reads_files = True

    def discard(self, ids: Iterable[UUID]) -> None:
        """Leave rows out."""
        for row_id in ids:
            self._rows.pop(row_id, None)

    def write(self, session: Session) -> int:
        """Write the rows and forget them; give their number."""
        rows, self._rows, self.size_bytes = self._rows, {}, 0
        if rows:
            _copy(session, self._table, _pieces(rows.values()))
        return len(rows)


def copy_rows(session: Session, model: type[Base], rows: Iterable[Row]) -> None:
    """Write rows while they are produced, however many: one row is in memory at a time.

    Raises DBAPIError as a statement of SQLAlchemy would, and whatever producing the rows raises.
    """
    table = table_of(model)
    encoder = RowEncoder(table)
    _copy(session, table, _pieces(encoder.encode(row) for row in rows))


def _pieces(rows: Iterable[bytes | list[Content]]) -> Iterator[Content]:
    return chain.from_iterable((row,) if isinstance(row, bytes) else row for row in rows)


def table_of(model: type[Base]) -> Table:
    """Give the table of a model."""
    return cast("Table", model.__table__)


class _PieceStream:
    """The pieces as the file psycopg2 reads from, at most `size` bytes at a time."""

    def __init__(self, pieces: Iterator[Content]) -> None:
        self._chunks = chain.from_iterable(
            (piece,) if isinstance(piece, bytes) else piece.chunks() for piece in pieces
        )
        self._rest = memoryview(b"")
        self.error: BaseException | None = None

    def read(self, size: int) -> bytes:
        try:
            data = b"".join((self._rest, *self._chunks_of(size - len(self._rest))))
        except BaseException as error:
            # psycopg2 reports only its text, inside an error of the server.
            self.error = error
            raise
        self._rest = memoryview(data)[size:]
        return data[:size]

    def _chunks_of(self, size: int) -> Iterator[bytes]:
        """Take chunks until they have `size` bytes or more."""
        while size > 0 and (chunk := next(self._chunks, None)) is not None:
            size -= len(chunk)
            yield chunk


def _copy(session: Session, table: Table, pieces: Iterator[Content]) -> None:
    session.flush()
    stream = _PieceStream(chain((_SIGNATURE,), pieces, (_TRAILER,)))
    columns = ", ".join(f'"{column.name}"' for column in table.columns)
    statement = f'COPY "{table.name}" ({columns}) FROM STDIN (FORMAT BINARY)'
    try:
        _run_copy(session, statement, stream)
    except DBAPIError:
        if stream.error is not None:
            raise stream.error from None
        raise


def _run_copy(session: Session, statement: str, stream: Any) -> None:
    """Run a COPY between the server and `stream`, which has `read` or `write`.

    Raises DBAPIError as a statement of SQLAlchemy would.
    """
    connection = session.connection()
    raw = connection.connection
    try:
        with closing(raw.cursor()) as cursor:
            # Who listens to statements hears of this one, too.
            connection.dispatch.before_cursor_execute(connection, cursor, statement, (), None, False)
            cursor.copy_expert(statement, stream, _READ_BYTES)
            connection.dispatch.after_cursor_execute(connection, cursor, statement, (), None, False)
    except psycopg2.Error as error:
        if is_lost := bool(raw.closed):
            # SQLAlchemy does not see this error, and would roll back on a connection that is gone.
            connection.invalidate(error)
        raise DBAPIError.instance(
            statement,
            None,
            error,
            psycopg2.Error,
            hide_parameters=True,
            connection_invalidated=is_lost,
            dialect=connection.dialect,
        ) from error


def read_into(
    file: IO[bytes], session: Session, column: InstrumentedAttribute[bytes | None], row_id: UUID
) -> None:
    """Write the value of a column into a file that is at position 0.

    Raises DBAPIError as a statement of SQLAlchemy would.
    """
    statement = _SLICES.format(
        column=column.key, table=column.class_.__tablename__, row_id=row_id, slice_bytes=SLICE_BYTES
    )
    _run_copy(session, statement, _SliceWriter(file))


class _SliceWriter:
    """Takes the binary form of COPY, cut anywhere, and writes each slice to its place."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._held = bytearray()
        self._skipped_bytes = 0

    def write(self, data: bytes) -> int:
        self._held += data
        if not self._skipped_bytes and len(self._held) >= len(_SIGNATURE):
            del self._held[: len(_SIGNATURE)]
            self._skipped_bytes = len(_SIGNATURE)
        while self._skipped_bytes and len(self._held) > _ROW_HEAD.size and self._write_slice():
            pass
        return len(data)

    def _write_slice(self) -> bool:
        _, _, at, size_bytes = _ROW_HEAD.unpack_from(self._held)
        end = _ROW_HEAD.size + size_bytes
        if len(self._held) < end:
            return False
        self._file.seek(at - 1)
        self._file.write(self._held[_ROW_HEAD.size : end])
        del self._held[:end]
        return True
