"""JSON written by somebody else, made fit for a `jsonb` column."""

from __future__ import annotations

import codecs
import json
import math
from typing import Any

from ibutsu_tasks.storable import storable_json

MAX_DEPTH = 100

MAX_VALUES = 300_000
"""Values of a document, by its commas and brackets: each takes many times its text in memory."""


def _finite(digits: str) -> float | None:
    number = float(digits)
    return number if math.isfinite(number) else None


_DECODER = json.JSONDecoder(parse_float=_finite, parse_constant=lambda _name: None)
# What may become a character that jsonb does not take: escapes, encoded surrogates, itself.
_SUSPECT = (b"\\u", b"\xed", b"\x00")


class BrokenDocumentError(ValueError):
    """The bytes are not a JSON object we can use; the text says why, for the end of a sentence."""


def json_object(data: bytes) -> dict[str, Any]:
    """Read one JSON object. NaN and infinities become None.

    Raises `BrokenDocumentError` for anything else, and for what pytest-ibutsu leaves in place of a row
    that it could not serialise.
    """
    if sum(map(data.count, (b",", b"[", b"{"))) > MAX_VALUES:
        raise BrokenDocumentError(f"holds more than {MAX_VALUES:,} values")
    try:
        document = _DECODER.decode(data.removeprefix(codecs.BOM_UTF8).decode("utf-8", "surrogatepass"))
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


def _is_plain(data: bytes) -> bool:
    """Tell that nothing in a document needs a walk through its values, as is so for nearly all."""
    is_storable = not any(suspect in data for suspect in _SUSPECT)
    return is_storable and data.count(b"{") + data.count(b"[") <= MAX_DEPTH
