"""Reading the numbers, times and names that report writers put into files, however they spell them."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import sha1, sha256
from typing import Any
from uuid import UUID

from ibutsu_tasks.clock import utc_now
from ibutsu_tasks.ibutsu.importers.printed_times import printed_time

# The columns are indexed, and PostgreSQL refuses a b-tree entry over 2,704 bytes. Component and env
# share one entry, so each takes less than half.
INDEXED_BYTES = 1200
MAX_DURATION_SECONDS = 1e12
"""A longer duration of one test, 31,000 years, is left out of its run's."""

_MAX_BYTES_PER_CHARACTER = 4
# 2001-09-09 in milliseconds, and in seconds the year 33658: no start time lies between.
_EPOCH_MILLISECONDS_FROM = 1e12
# More are no number of tests; Python would not even read thousands of them.
_MAX_COUNT_DIGITS = 100
# Clocks that were never set say 1970 or 1980; those of two machines may differ by a time zone.
_EARLIEST = datetime(2000, 1, 1)  # noqa: DTZ001 - UTC, as all times here
_AHEAD = timedelta(days=1)
# Shorter digits are a date such as `20261121`.
_EPOCH_DIGITS = 9

_UNIT_SECONDS = {
    **dict.fromkeys(("", "s", "sec", "secs", "second", "seconds"), 1.0),
    **dict.fromkeys(("us", "\N{MICRO SIGN}s", "\N{GREEK SMALL LETTER MU}s"), 1e-6),
    "ns": 1e-9,
    "ms": 1e-3,
    **dict.fromkeys(("m", "min"), 60.0),
    "h": 3600.0,
}
_AMOUNT = re.compile(
    r"\s*([0-9.,]+(?:e[+-]?[0-9]+)?)\s*([a-z\N{MICRO SIGN}\N{GREEK SMALL LETTER MU}]*)", re.ASCII
)
# As locales group thousands beside comma and point: `1 234,5` of France, `1'234.5` of Switzerland.
_BETWEEN_THOUSANDS = re.compile(
    r"(?<=[0-9])[ '\N{NO-BREAK SPACE}\N{THIN SPACE}\N{NARROW NO-BREAK SPACE}\N{RIGHT SINGLE QUOTATION MARK}]"
    r"(?=[0-9]{3}(?![0-9]))"
)
_CLOCK = re.compile(r"(?:([0-9]+):)?([0-9]{1,2}):([0-9]{1,2}(?:[.,][0-9]+)?)", re.ASCII)
# RFC 4122, section 4.1: the version is in four bits and the variant in two.
_HASHED_BITS = (1 << 128) - 1 ^ (0xF000 << 64 | 0xC000 << 48)
_VERSION_5 = 0x5000 << 64 | 0x8000 << 48
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)
_UUID_CHARACTERS = 36


def seconds(value: object) -> float | None:
    """Read a duration in seconds: `0.5`, `1,024.12`, `1 024,1`, `0,160`, `80.803us`, `1m30s`, `0:00:00.69`.

    None when there is no sense in it. Negative, infinite and NaN durations make no sense.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        number = _spelled_seconds(value.strip().lower()) if isinstance(value, str) else math.nan
    return number if 0.0 <= number < math.inf else None


def _spelled_seconds(text: str) -> float:
    if clock := _CLOCK.fullmatch(text):
        hours, minutes, rest = clock.groups()
        return float(hours or 0) * 3600 + float(minutes) * 60 + float(rest.replace(",", "."))
    text, total, position = _BETWEEN_THOUSANDS.sub("", text), 0.0, 0
    while amount := _AMOUNT.match(text, position):
        number, unit = amount.groups()
        if unit not in _UNIT_SECONDS or (not unit and amount.end() < len(text)):
            return math.nan
        total += _decimal(number) * _UNIT_SECONDS[unit]
        position = amount.end()
    return total if position and position == len(text) else math.nan


def _decimal(text: str) -> float:
    """Read digits with separators: the last separator is the decimal one, unless it occurs twice.

    A lone comma is decimal too: report writers of comma locales print `1,024` for about a second, and
    those that group thousands print decimals after them.
    """
    point = max(text.rfind("."), text.rfind(","))
    if point >= 0 and text.count(text[point]) > 1:
        point = len(text)
    whole = text[:point].replace(",", "").replace(".", "") if point >= 0 else text
    try:
        return float(f"{whole}.{text[point + 1 :]}" if point >= 0 else whole)
    except ValueError:
        return math.nan


def count(value: object) -> int | None:
    """Read a number of tests, such as `3`, `"1,024"` or `2.0`; None when it is none."""
    if isinstance(value, str):
        value = value.strip().replace(",", "")
        if value.isascii() and value.isdigit():
            return int(value) if len(value) <= _MAX_COUNT_DIGITS else None
    if isinstance(value, int) and not isinstance(value, bool):
        return value if 0 <= value < 10**_MAX_COUNT_DIGITS else None
    number = seconds(value)
    return None if number is None else int(number)


def utc_time(value: object) -> datetime | None:
    """Read when a test ran, as naive UTC: ISO 8601, epoch seconds or milliseconds, or as people write it.

    A time without a zone is taken as UTC. None when it is no time, or none a test can have: before 2000, or
    more than a day ahead.
    """
    try:
        moment = _any_utc_time(value)
    except (ValueError, OverflowError, OSError):
        return None
    return moment if moment and is_of_a_test(moment) else None


def is_of_a_test(moment: datetime) -> bool:
    """Say whether a test can have run at a moment (naive UTC): since 2000, and at most a day ahead."""
    return _EARLIEST <= moment <= utc_now() + _AHEAD


def _any_utc_time(value: object) -> datetime | None:
    if isinstance(value, str):
        return _utc_time_from_text(value.strip())
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _utc_time_from_epoch(float(value))
    return None


# As milliseconds since 1970, these digits would be in the year 2600.
_COMPACT_TIME = re.compile(r"(?:19|20)[0-9]{12}", re.ASCII)


def _utc_time_from_text(text: str) -> datetime:
    if _COMPACT_TIME.fullmatch(text):
        return datetime.strptime(text, "%Y%m%d%H%M%S")  # noqa: DTZ007 - without a zone means UTC
    if len(text) >= _EPOCH_DIGITS and text.replace(".", "", 1).isdigit():
        return _utc_time_from_epoch(float(text))
    for zone in (" UTC", " GMT"):
        text = text.removesuffix(zone)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = printed_time(text)
    return moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)


def _utc_time_from_epoch(number: float) -> datetime:
    in_seconds = number / 1000 if abs(number) >= _EPOCH_MILLISECONDS_FROM else number
    return datetime.fromtimestamp(in_seconds, tz=UTC).replace(tzinfo=None)


def uuid_or_none(value: object) -> UUID | None:
    """Read a UUID in its canonical form of 36 characters."""
    # Whatever else a file has there may be megabytes, which would be kept.
    return _uuid_of(value) if isinstance(value, str) and len(value) == _UUID_CHARACTERS else None


@lru_cache(maxsize=64)
def _uuid_of(text: str) -> UUID | None:
    # The members of an archive name the same few folders again and again.
    return UUID(text) if _UUID.fullmatch(text) else None


def derived_id(namespace: UUID, name: str) -> UUID:
    """Give `uuid.uuid5(namespace, name)`, in half of its time; an import makes one for every row."""
    digest = sha1(namespace.bytes + name.encode(), usedforsecurity=False).digest()
    return UUID(int=int.from_bytes(digest[:16]) & _HASHED_BITS | _VERSION_5)


def column_text(value: Any) -> str | None:
    """Turn a JSON value into the text of a column: None for empty, arrays and objects."""
    if isinstance(value, str):
        return value or None
    return str(value) if isinstance(value, bool | int | float) else None


def free_key(data: dict[str, Any], key: str) -> str:
    """Give the key, with as many underscores behind it as leave what is in `data` alone."""
    while key in data:
        key += "_"
    return key


def indexed(text: str, max_bytes: int = INDEXED_BYTES) -> str:
    """Cut text to what an index entry holds; what is cut is replaced by a digest, so names stay apart."""
    if len(text) * _MAX_BYTES_PER_CHARACTER <= max_bytes:
        return text
    encoded = text.encode(errors="replace")
    if len(encoded) <= max_bytes:
        return text
    mark = f"…#{sha256(encoded).hexdigest()[:12]}"
    return encoded[: max_bytes - len(mark.encode())].decode(errors="ignore") + mark
