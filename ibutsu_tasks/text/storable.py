"""Text and JSON as PostgreSQL can hold them: no NUL, no lone surrogates, no NaN and no infinity."""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

REPLACEMENT = "\ufffd"

UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
"""Characters that neither `text` nor `jsonb` of PostgreSQL can hold: NUL and lone surrogates."""

_NUL_ESCAPE = "\\u0000"
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _document_encoder() -> Callable[[Any, int], Iterable[str]]:
    """Make once what `JSONEncoder.encode` makes anew for each value, at twice the cost of the value."""
    make = getattr(json.encoder, "c_make_encoder", None)
    if make is None:
        return lambda value, _level: _ENCODER.iterencode(value)
    quote = json.encoder.encode_basestring
    encoder: Callable[[Any, int], Iterable[str]] = make(
        None, _ENCODER.default, quote, None, ":", ",", False, False, False
    )
    return encoder


_encode = _document_encoder()


def storable_text(text: str) -> str:
    """Replace each character that a `text` column cannot hold by U+FFFD."""
    return UNSTORABLE.sub(REPLACEMENT, text)


def storable_json(value: Any, max_depth: int = 1_000_000) -> Any:
    """Copy a JSON value without what `jsonb` cannot hold: U+FFFD and null take its place.

    Raises RecursionError when something but text lies deeper than `max_depth`.
    """
    if isinstance(value, str):
        return storable_text(value)
    if max_depth < 0:
        raise RecursionError
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {storable_text(str(key)): storable_json(item, max_depth - 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [storable_json(item, max_depth - 1) for item in value]
    return value


def text_bytes(text: str) -> bytes:
    """Encode text for a `text` column."""
    try:
        encoded = text.encode()
    except UnicodeEncodeError:
        return storable_text(text).encode()
    return encoded.replace(b"\0", REPLACEMENT.encode()) if b"\0" in encoded else encoded


def json_bytes(value: Any) -> bytes:
    """Encode a JSON value for a `jsonb` column, without spaces."""
    if value == {}:
        return b"{}"
    try:
        document = "".join(_encode(value, 0))
        if _NUL_ESCAPE not in document:
            return document.encode()
    except ValueError:
        # A NaN, or a surrogate that UTF-8 has no bytes for.
        pass
    return "".join(_encode(storable_json(value), 0)).encode()
