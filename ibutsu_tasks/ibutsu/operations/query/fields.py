"""What a filter can name, and how the value beside it is read."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    Column,
    DateTime,
    Double,
    Integer,
    Numeric,
    Text,
    Uuid,
    case,
    cast,
    func,
    literal,
)
from sqlalchemy.dialects.postgresql import JSONB

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import ColumnElement, Table

DOCUMENT_ROOTS = {"data": "data", "metadata": "data", "summary": "summary"}
"""First part of a dotted field: the column that holds the document."""

LIST_KEYS = frozenset({"tags", "markers", "annotations"})
"""Keys directly below `metadata` whose value is a list."""

MAX_PATH_KEYS = 32
"""Far deeper than any metadata seen, far below what makes a statement too complex for the server."""

# Not float(): that reads `nan`, `inf`, `1_000` and digits of every script.
_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Field:
    """Something filters compare.

    `expression` is compared with what `parse` makes of the filter's value (it raises ValueError with
    the reason when it cannot); `text` is null when the row has no such value, and takes patterns unless
    `is_exact`; `document` is the JSON list of a list field.
    """

    expression: ColumnElement[Any]
    text: ColumnElement[Any]
    parse: Callable[[str], Any] = str
    is_exact: bool = False
    document: ColumnElement[Any] | None = None


def find_field(table: Table, name: str) -> Field | None:
    """Give the column or the place in a JSON document called `name`; None when `table` has none.

    Raises ValueError for a path no document can have.
    """
    root, *keys = name.split(".")
    column = table.columns.get(DOCUMENT_ROOTS.get(root, root))
    if column is None or (keys and root not in DOCUMENT_ROOTS):
        return None
    if not keys:
        return _column_field(column)
    if "" in keys or len(keys) > MAX_PATH_KEYS:
        raise ValueError(f"names a path with an empty part or more than {MAX_PATH_KEYS} parts")
    if root == "summary":
        return _summary_field(column, keys)
    as_text = _text_at(column, keys)
    is_list = len(keys) == 1 and keys[0] in LIST_KEYS
    return Field(as_text, as_text, document=_document_at(column, keys) if is_list else None)


def _column_field(column: Column[Any]) -> Field:
    if isinstance(column.type, JSONB):
        # The whole document. Unlike a cast, this gives null for JSON's null, which the server stores too.
        as_text = column.op("#>>", return_type=Text())(literal([], ARRAY(Text())))
        return Field(as_text, as_text)
    parse = _PARSERS.get(type(column.type))
    return Field(column, column, parse, is_exact=True) if parse else Field(column, column)


def _summary_field(column: Column[Any], keys: list[str]) -> Field:
    as_text = _text_at(column, keys)
    if keys == ["pass_percent"]:
        # As the server's index writes it. That index also keeps out every row the cast would fail on.
        number: ColumnElement[Any] = cast(as_text, Integer)
    else:
        # A CASE: nothing else is sure to be evaluated before the cast. Numeric holds every JSON number.
        is_number = func.jsonb_typeof(_document_at(column, keys)) == "number"
        number = case((is_number, cast(as_text, Numeric)))
    return Field(number, as_text, parse_number, is_exact=True)


def _document_at(column: ColumnElement[Any], keys: list[str]) -> ColumnElement[Any]:
    # Arrows, not subscripts: only an expression written like the index's own is served by the index,
    # and SQLAlchemy 2.1 turns its JSON indexing into subscripts.
    for key in keys:
        column = column.op("->", return_type=JSONB())(literal(key, Text()))
    return column


def _text_at(column: ColumnElement[Any], keys: list[str]) -> ColumnElement[Any]:
    document = _document_at(column, keys[:-1])
    return document.op("->>", return_type=Text())(literal(keys[-1], Text()))


def parse_number(value: str) -> int | float:
    """Read a decimal number. Raises ValueError with the reason."""
    if not _NUMBER.fullmatch(value.strip()) or not math.isfinite(number := float(value)):
        raise ValueError("needs a number, such as 12 or 0.5")
    return int(number) if number.is_integer() else number


def parse_time(value: str) -> datetime:
    """Read an ISO 8601 time as naive UTC; one without a zone is UTC. Raises ValueError with the reason."""
    try:
        moment = datetime.fromisoformat(value.strip())
        return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
    except (ValueError, OverflowError):
        raise ValueError("needs a time in ISO 8601, such as 2026-11-21T06:09:29") from None


def parse_uuid(value: str) -> UUID:
    """Read an identifier. Raises ValueError with the reason."""
    try:
        return UUID(value.strip())
    except ValueError:
        raise ValueError("needs a UUID") from None


_PARSERS: dict[type[Any], Callable[[str], Any]] = {
    Uuid: parse_uuid,
    DateTime: parse_time,
    Double: parse_number,
}
