"""Rows in PostgreSQL's binary form of `COPY`, with the types of the model's table.

The layout is the server's own (documentation of COPY, "Binary Format"): for each row the number of
fields, and each field as its length and bytes.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from sqlalchemy import DateTime, Float, LargeBinary, String, Table, Uuid
from sqlalchemy.dialects.postgresql import JSONB

from ibutsu_tasks.ibutsu.importers.parsed import AnyNumber, JsonText
from ibutsu_tasks.text.storable import json_bytes, text_bytes

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy.types import TypeEngine

    from ibutsu_tasks.ibutsu.importers.parsed import Content

_NULL = struct.pack("!i", -1)
_LENGTH = struct.Struct("!i").pack
_INT64_FIELD = struct.Struct("!iq").pack
_FLOAT64_FIELD = struct.Struct("!id").pack
_UUID_LENGTH = _LENGTH(16)

_EPOCH = datetime(2000, 1, 1)  # noqa: DTZ001 - columns hold naive UTC, counted from here
_MICROSECOND = timedelta(microseconds=1)
_JSONB_VERSION = b"\x01"

Row = Mapping[str, Any]
"""A value for each column of the table; None is NULL."""

FieldEncoder = Callable[[Any], bytes]


def _double(value: float) -> bytes:
    is_number = math.isfinite(value) or isinstance(value, AnyNumber)
    return _FLOAT64_FIELD(8, value) if is_number else _NULL


def _timestamp(value: datetime) -> bytes:
    utc = value if value.tzinfo is None else value.astimezone(UTC).replace(tzinfo=None)
    return _INT64_FIELD(8, (utc - _EPOCH) // _MICROSECOND)


def _uuid(value: UUID) -> bytes:
    return _UUID_LENGTH + value.bytes


def _jsonb(value: Any) -> bytes:
    document = value.encode() if isinstance(value, JsonText) else json_bytes(value)
    return _LENGTH(len(document) + 1) + _JSONB_VERSION + document


def _bytea(value: Content) -> bytes:
    length = _LENGTH(len(value))
    return length + value if isinstance(value, bytes) else length


def _text(value: str) -> bytes:
    encoded = text_bytes(value)
    return _LENGTH(len(encoded)) + encoded


# In the second column: whether the value of one row is often that of the row before.
_ENCODERS: tuple[tuple[type[TypeEngine[Any]], FieldEncoder, bool], ...] = (
    (Uuid, _uuid, True),
    (JSONB, _jsonb, False),
    (Float, _double, False),
    (DateTime, _timestamp, True),
    (LargeBinary, _bytea, False),
    (String, _text, True),
)


class RowEncoder:
    """Turns rows of one table into COPY's binary form."""

    def __init__(self, table: Table) -> None:
        columns = list(table.columns)
        self._values_of = itemgetter(*(column.name for column in columns))
        self._encoders = [_encoder_for(column.type) for column in columns]
        self._head = struct.pack("!h", len(columns))
        contents = [at for at, column in enumerate(columns) if isinstance(column.type, LargeBinary)]
        self._content_at = contents[0] if contents else None

    def encode(self, row: Row) -> bytes | list[Content]:
        """Give the bytes of one row, in pieces when its content is kept outside memory."""
        values = self._values_of(row)
        fields = [encode(value) for encode, value in zip(self._encoders, values, strict=True)]
        content = None if self._content_at is None else values[self._content_at]
        if self._content_at is None or content is None or isinstance(content, bytes):
            return self._head + b"".join(fields)
        behind = self._content_at + 1
        return [self._head + b"".join(fields[:behind]), content, b"".join(fields[behind:])]


def _encoder_for(column_type: TypeEngine[Any]) -> FieldEncoder:
    for kind, encode, repeats in _ENCODERS:
        if isinstance(column_type, kind):
            return _remembering(encode) if repeats else _or_null(encode)
    raise TypeError(f"COPY has no encoder for the column type {column_type!r}")


def _or_null(encode: FieldEncoder) -> FieldEncoder:
    return lambda value: _NULL if value is None else encode(value)


def _remembering(encode: FieldEncoder) -> FieldEncoder:
    """Encode a value that is the very object of the row before, which cannot change, only once."""
    last, field = None, _NULL

    def encoded(value: Any) -> bytes:
        nonlocal last, field
        if value is not last:
            last, field = value, _NULL if value is None else encode(value)
        return field

    return encoded
