"""JSON written by somebody else, made fit for a `jsonb` column."""

from __future__ import annotations

import codecs
import json
import math
import re
from typing import Any

from ibutsu_tasks.text.storable import storable_json

MAX_DEPTH = 100

MAX_VALUES = 300_000
"""Values of a document, by its commas and brackets: each takes many times its text in memory."""

_STRING = re.compile(rb'"[^"]*"')


def _finite(digits: str) -> float | None:
    number = float(digits)
    return number if math.isfinite(number) else None


def _whole(digits: str) -> int | None:
    try:
        return int(digits)
    except ValueError:  # Python converts no more than 4,300 digits
        return None


_DECODER = json.JSONDecoder(parse_float=_finite, parse_int=_whole, parse_constant=lambda _name: None)
# What may become a character that jsonb does not take: escapes, encoded surrogates, itself.
_SUSPECT = (b"\\u", b"\xed", b"\x00")


class BrokenDocumentError(ValueError):
    """The bytes are not a JSON object we can use; the text says why, for the end of a sentence."""


def json_object(data: bytes) -> dict[str, Any]:
    """Read one JSON object. NaN, infinities and numbers of more than 4,300 digits become None.

    Raises `BrokenDocumentError` for anything else, and for what pytest-ibutsu leaves in place of a row
    that it could not serialise.
    """
    data = _as_utf_8(data)
    if _holds_too_many_values(data):
        raise BrokenDocumentError(f"holds more than {MAX_VALUES:,} values")
    try:
        document = _DECODER.decode(data.decode("utf-8", "surrogatepass"))
        if not _is_plain(data):
            document = storable_json(document, MAX_DEPTH)
    except RecursionError:
        raise BrokenDocumentError("is nested too deeply") from None
    except ValueError:
        raise BrokenDocumentError("is not valid JSON") from None
    if not isinstance(document, dict):
        raise BrokenDocumentError("is not a JSON object")
    if document.get("error") == "serialization_failed":
        raise BrokenDocumentError("says that pytest-ibutsu could not serialise it")
    return document


def _as_utf_8(data: bytes) -> bytes:
    """Give a document in UTF-8 without a mark; Python's own reader takes UTF-16 and UTF-32, too."""
    encoding = json.detect_encoding(data)
    if encoding.startswith("utf-8"):
        return data.removeprefix(codecs.BOM_UTF8)
    try:
        return data.decode(encoding, "surrogatepass").encode("utf-8", "surrogatepass")
    except ValueError:
        raise BrokenDocumentError("is not valid JSON") from None


def _holds_too_many_values(data: bytes) -> bool:
    if _values(data) <= MAX_VALUES:
        return False
    bare = data.replace(rb"\\", b"").replace(rb"\"", b"")
    # A value has two strings at most, its key and itself.
    return bare.count(b'"') > 4 * MAX_VALUES or _values(_STRING.sub(b"", bare)) > MAX_VALUES


def _values(data: bytes) -> int:
    return sum(map(data.count, (b",", b"[", b"{")))


def _is_plain(data: bytes) -> bool:
    """Tell that nothing in a document needs a walk through its values, as is so for nearly all."""
    is_storable = not any(suspect in data for suspect in _SUSPECT)
    return is_storable and data.count(b"{") + data.count(b"[") <= MAX_DEPTH
