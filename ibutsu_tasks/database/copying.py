"""Bulk rows through `COPY ... FROM STDIN (FORMAT BINARY)`, streamed, with the types of the model's table.

The layout is PostgreSQL's own (documentation of COPY, "Binary Format"): a signature, then for each row
the number of fields and each field as its length and bytes, then a trailer.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import TYPE_CHECKING, Any, Protocol

import psycopg2
from sqlalchemy import DateTime, Float, LargeBinary, String, Table, Uuid
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import DBAPIError

from ibutsu_tasks.database.storable import json_bytes, text_bytes
from ibutsu_tasks.importers.parsed import AnyNumber, JsonText

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy import Connection
    from sqlalchemy.orm import Session
    from sqlalchemy.types import TypeEngine

    from ibutsu_tasks.database.models import Base

_SIGNATURE = b"PGCOPY\n\xff\r\n\0" + struct.pack("!ii", 0, 0)
_TRAILER = struct.pack("!h", -1)
_NULL = struct.pack("!i", -1)
_FIELD_LENGTH = struct.Struct("!i").pack
_INT64 = struct.Struct("!q").pack
_FLOAT64 = struct.Struct("!d").pack

_EPOCH = datetime(2000, 1, 1)  # noqa: DTZ001 - columns hold naive UTC, counted from here
_MICROSECOND = timedelta(microseconds=1)
_JSONB_VERSION = b"\x01"
_READ_BYTES = 256 * 1024

Row = Mapping[str, Any]
"""A value for each column of the table; None is NULL."""


class Chunked(Protocol):
    """Bytes kept outside memory: their number is known, they come in chunks."""

    def __len__(self) -> int:
        """Give the number of bytes."""

    def chunks(self) -> Iterator[bytes]:
        """Read them from the beginning."""


Piece = bytes | Chunked


def _double(value: float) -> bytes | None:
    return _FLOAT64(value) if math.isfinite(value) or isinstance(value, AnyNumber) else None


def _timestamp(value: datetime) -> bytes:
    utc = value if value.tzinfo is None else value.astimezone(UTC).replace(tzinfo=None)
    return _INT64((utc - _EPOCH) // _MICROSECOND)


def _uuid(value: UUID) -> bytes:
    return value.bytes


def _jsonb(value: Any) -> bytes:
    return _JSONB_VERSION + (value.encode() if isinstance(value, JsonText) else json_bytes(value))


def _bytea(value: Piece) -> Piece:
    return value


_ENCODERS: tuple[tuple[type[TypeEngine[Any]], Callable[[Any], Piece | None]], ...] = (
    (Uuid, _uuid),
    (JSONB, _jsonb),
    (Float, _double),
    (DateTime, _timestamp),
    (LargeBinary, _bytea),
    (String, text_bytes),
)


class RowEncoder:
    """Turns rows of one table into COPY's binary form."""

    def __init__(self, table: Table) -> None:
        self._columns = [(column.name, _encoder_for(column.type)) for column in table.columns]
        self._head = struct.pack("!h", len(self._columns))

    def encode(self, row: Row) -> list[Piece]:
        """Give the bytes of one row, in one piece unless a value is kept outside memory."""
        pieces: list[Piece] = [self._head]
        for name, encode in self._columns:
            value = row[name]
            field = None if value is None else encode(value)
            pieces += [_NULL] if field is None else [_FIELD_LENGTH(len(field)), field]
        in_memory = [piece for piece in pieces if isinstance(piece, bytes)]
        return [b"".join(in_memory)] if len(in_memory) == len(pieces) else pieces


def _encoder_for(column_type: TypeEngine[Any]) -> Callable[[Any], Piece | None]:
    for kind, encode in _ENCODERS:
        if isinstance(column_type, kind):
            return encode
    raise TypeError(f"COPY has no encoder for the column type {column_type!r}")


class CopyBatch:
    """Encoded rows of one table, waiting to be written together. A row added again replaces the first."""

    def __init__(self, model: type[Base]) -> None:
        self._table = table_of(model)
        self._encoder = RowEncoder(self._table)
        self._rows: dict[UUID, list[Piece]] = {}
        self.size_bytes = 0
        """What the rows take in memory, less what is kept outside it."""

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def ids(self) -> list[UUID]:
        """The identifiers of the rows, in the order they were added."""
        return list(self._rows)

    def add(self, row: Row) -> None:
        """Encode a row, which has an `id`."""
        pieces = self._rows[row["id"]] = self._encoder.encode(row)
        self.size_bytes += sum(len(piece) for piece in pieces if isinstance(piece, bytes))

    def discard(self, ids: Iterable[UUID]) -> None:
        """Leave rows out."""
        for row_id in ids:
            self._rows.pop(row_id, None)

    def write(self, session: Session) -> int:
        """Write the rows and forget them; give their number."""
        rows, self._rows, self.size_bytes = self._rows, {}, 0
        if rows:
            _copy(session, self._table, chain.from_iterable(rows.values()))
        return len(rows)


def copy_rows(session: Session, model: type[Base], rows: Iterable[Row]) -> None:
    """Write rows while they are produced, however many: one row is in memory at a time.

    Raises DBAPIError as a statement of SQLAlchemy would, and whatever producing the rows raises.
    """
    table = table_of(model)
    encoder = RowEncoder(table)
    _copy(session, table, chain.from_iterable(encoder.encode(row) for row in rows))


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
        self._buffer = bytearray()
        self.error: BaseException | None = None

    def read(self, size: int) -> bytes:
        try:
            while len(self._buffer) < size and (chunk := next(self._chunks, None)) is not None:
                self._buffer += chunk
        except BaseException as error:
            # psycopg2 reports only its text, inside an error of the server.
            self.error = error
            raise
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken


def _copy(session: Session, table: Table, pieces: Iterator[Piece]) -> None:
    session.flush()
    stream = _PieceStream(chain((_SIGNATURE,), pieces, (_TRAILER,)))
    columns = ", ".join(f'"{column.name}"' for column in table.columns)
    statement = f'COPY "{table.name}" ({columns}) FROM STDIN (FORMAT BINARY)'
    connection = session.connection()
    raw = connection.connection
    try:
        with closing(raw.cursor()) as cursor:
            cursor.copy_expert(statement, stream, _READ_BYTES)
    except psycopg2.Error as error:
        if stream.error is not None:
            raise stream.error from None
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
