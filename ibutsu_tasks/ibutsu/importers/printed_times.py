"""Dates as programs print them for people: `24 Nov 2016 15:45:53 GMT`, `11/24/2016 3:45 PM`, Java's form."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone, tzinfo

# A date and a time in words; the parser takes longer for longer texts.
_MAX_CHARACTERS = 80
_HOURS_OF_ZONE = {
    **dict.fromkeys(("UTC", "GMT", "Z", "WET"), 0.0),
    **dict.fromkeys(("CET", "WEST", "MEZ"), 1.0),
    **dict.fromkeys(("CEST", "EET", "SAST", "MESZ"), 2.0),
    **dict.fromkeys(("EEST", "MSK"), 3.0),
    **dict.fromkeys(("JST", "KST"), 9.0),
    "SGT": 8.0,
    "AEST": 10.0,
    "AEDT": 11.0,
    "BRT": -3.0,
    "EDT": -4.0,
    **dict.fromkeys(("EST", "CDT"), -5.0),
    **dict.fromkeys(("CST", "MDT"), -6.0),
    **dict.fromkeys(("MST", "PDT"), -7.0),
    "PST": -8.0,
}
"""Hours ahead of UTC. A name of several zones is the one of RFC 822; other names are no zone."""
# What the parser would take for "so many hours until it is GMT".
_OFFSET_BEHIND_ZONE = re.compile(r"\b(?:GMT|UTC)(?=[+-][0-9])")
_DAY_FIRST = re.compile(r"\b[0-9]{1,2}\.[0-9]{1,2}\.[0-9]{4}\b")

# What a text leaves out is filled in from a default, so two of them differ where the day is not stated.
_DEFAULTS = (datetime(2000, 1, 1), datetime(2004, 2, 2))  # noqa: DTZ001


def printed_time(text: str) -> datetime:
    """Read a date, aware if it names a known zone. Raises ValueError for anything else, and OverflowError."""
    from dateutil import parser  # noqa: PLC0415

    if len(text) > _MAX_CHARACTERS:
        raise ValueError(text)
    text = _OFFSET_BEHIND_ZONE.sub("", text)
    day_first = _DAY_FIRST.search(text) is not None
    try:
        one, other = (
            parser.parse(text, default=default, tzinfos=_zone, dayfirst=day_first) for default in _DEFAULTS
        )
    except (ArithmeticError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(text) from error
    if one != other:
        raise ValueError(text)
    return one


def _zone(name: str | None, offset_seconds: int | None) -> tzinfo | None:
    if offset_seconds is not None:
        return timezone(timedelta(seconds=offset_seconds))
    hours = _HOURS_OF_ZONE.get(name or "")
    return None if hours is None else timezone(timedelta(hours=hours))
