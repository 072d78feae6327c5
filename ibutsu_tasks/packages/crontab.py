"""When a row of a schedule is due, as far as it can be checked without Celery."""

from __future__ import annotations

import re

_FIELDS = (
    ("minute", range(60)),
    ("hour", range(24)),
    ("day of the month", range(1, 32)),
    ("month", range(1, 13)),
    ("day of the week", range(7)),
)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_NUMBERS = dict(zip((*_MONTHS, *_DAYS), (*range(1, 13), *range(7)), strict=True))
_PART = re.compile(r"(\*|(\w+)(-(\w+))?)(/([1-9][0-9]*))?", re.ASCII)

MAX_SECONDS = 10 * 365 * 86_400


def problem_of(when: str | float) -> str | None:
    """Say what keeps `when` from being a crontab or a number of seconds; None when it is one."""
    if not isinstance(when, str):
        return None if 0 < when <= MAX_SECONDS else f"is due every {when} seconds, which is no time"
    fields = when.split()
    if len(fields) != len(_FIELDS):
        return f"has the crontab {when!r}, which has not five fields"
    for (name, numbers), text in zip(_FIELDS, fields, strict=True):
        for part in text.split(","):
            if not _fits(part, numbers):
                return f"has the crontab {when!r}: {part!r} is no {name}"
    return None


def _fits(part: str, numbers: range) -> bool:
    match = _PART.fullmatch(part)
    if match is None:
        return False
    _, first, span, last, step, _ = match.groups()
    if step and first and not span:
        return False
    return all(_number(word) in numbers for word in (first, last) if word)


def _number(word: str) -> int | None:
    return int(word) if word.isdecimal() else _NUMBERS.get(word)
