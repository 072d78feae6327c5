"""Reading a `bytea` of any size into a file, in memory that does not grow with it."""

from __future__ import annotations

import struct
from typing import IO, TYPE_CHECKING

from ibutsu_tasks.database.copying import run_copy

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy.orm import InstrumentedAttribute, Session

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

_SIGNATURE_BYTES = 19
_ROW_HEAD = struct.Struct("!hiii")
"""The number of fields, the length and value of the first (`at`), the length of the second."""


def read_into(
    file: IO[bytes], session: Session, column: InstrumentedAttribute[bytes | None], row_id: UUID
) -> None:
    """Write the value of a column into a file that is at position 0.

    Raises DBAPIError as a statement of SQLAlchemy would.
    """
    statement = _SLICES.format(
        column=column.key, table=column.class_.__tablename__, row_id=row_id, slice_bytes=SLICE_BYTES
    )
    run_copy(session, statement, _SliceWriter(file))


class _SliceWriter:
    """Takes the binary form of COPY, cut anywhere, and writes each slice to its place."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._held = bytearray()
        self._skipped_bytes = 0

    def write(self, data: bytes) -> int:
        self._held += data
        if not self._skipped_bytes and len(self._held) >= _SIGNATURE_BYTES:
            del self._held[:_SIGNATURE_BYTES]
            self._skipped_bytes = _SIGNATURE_BYTES
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
