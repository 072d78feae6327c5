"""Bulk rows through `COPY ... FROM STDIN (FORMAT BINARY)`, streamed: a signature, the rows, a trailer."""

from __future__ import annotations

import struct
from contextlib import closing
from itertools import chain
from typing import TYPE_CHECKING, Any

import psycopg2
from sqlalchemy import Table
from sqlalchemy.exc import DBAPIError

from ibutsu_tasks.database.row_encoding import RowEncoder

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from uuid import UUID

    from sqlalchemy import Connection
    from sqlalchemy.orm import Session

    from ibutsu_tasks.database.models import Base
    from ibutsu_tasks.database.row_encoding import Piece, Row

_SIGNATURE = b"PGCOPY\n\xff\r\n\0" + struct.pack("!ii", 0, 0)
_TRAILER = struct.pack("!h", -1)
_READ_BYTES = 1024 * 1024
"""Enough that a thread that copies seldom waits for the one that works beside it in Python."""


class CopyBatch:
    """Encoded rows of one table, waiting to be written together. A row added again replaces the first."""

    def __init__(self, model: type[Base]) -> None:
        self._table = table_of(model)
        self._encoder = RowEncoder(self._table)
        self._rows: dict[UUID, bytes | list[Piece]] = {}
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


def _pieces(rows: Iterable[bytes | list[Piece]]) -> Iterator[Piece]:
    return chain.from_iterable((row,) if isinstance(row, bytes) else row for row in rows)


def table_of(model: type[Base]) -> Table:
    """Give the table of a model."""
    table = model.__table__
    if not isinstance(table, Table):
        raise TypeError(f"{model.__name__} is not mapped to a table")
    return table


class _PieceStream:
    """The pieces as the file psycopg2 reads from, at most `size` bytes at a time."""

    def __init__(self, pieces: Iterator[Piece]) -> None:
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


def _copy(session: Session, table: Table, pieces: Iterator[Piece]) -> None:
    session.flush()
    stream = _PieceStream(chain((_SIGNATURE,), pieces, (_TRAILER,)))
    columns = ", ".join(f'"{column.name}"' for column in table.columns)
    statement = f'COPY "{table.name}" ({columns}) FROM STDIN (FORMAT BINARY)'
    try:
        run_copy(session, statement, stream)
    except DBAPIError:
        if stream.error is not None:
            raise stream.error from None
        raise


def run_copy(session: Session, statement: str, stream: Any) -> None:
    """Run a COPY between the server and `stream`, which has `read` or `write`.

    Raises DBAPIError as a statement of SQLAlchemy would.
    """
    connection = session.connection()
    raw = connection.connection
    try:
        with closing(raw.cursor()) as cursor:
            cursor.copy_expert(statement, stream, _READ_BYTES)
    except psycopg2.Error as error:
        if is_lost := bool(raw.closed):
            # SQLAlchemy does not see this error, and would roll back on a connection that is gone.
            connection.invalidate(error)
        raise _database_error(statement, error, connection, is_lost) from error


def _database_error(
    statement: str, error: psycopg2.Error, connection: Connection, is_lost: bool
) -> BaseException:
    return DBAPIError.instance(
        statement,
        None,
        error,
        psycopg2.Error,
        hide_parameters=True,
        connection_invalidated=is_lost,
        dialect=connection.dialect,
    )
