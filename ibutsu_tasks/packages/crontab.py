"""When a row of a schedule is due, as far as it can be checked without Celery."""

from __future__ import annotations

import re

_DAY, _MONTH = "day of the month", "month"
_FIELDS = (
    ("minute", range(60)),
    ("hour", range(24)),
    (_DAY, range(1, 32)),
    (_MONTH, range(1, 13)),
    ("day of the week", range(7)),
)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_LONGEST = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_NUMBERS = dict(zip((*_MONTHS, *_DAYS), (*range(1, 13), *range(7)), strict=True))
_PART = re.compile(r"(\*|(\w+)(-(\w+))?)(/([1-9][0-9]*))?", re.ASCII)

NO_NUMBER = -1
MIN_SECONDS = 0.1
MAX_SECONDS = 10 * 365 * 86_400


def problem_of(when: object) -> str | None:
    """Say what keeps `when` from being a crontab or a number of seconds; None when it is one."""
    if not isinstance(when, str):
        is_time = isinstance(when, int | float) and MIN_SECONDS <= when <= MAX_SECONDS
        return None if is_time else f"is due every {when!r} seconds, which is not from 0.1 s to ten years"
    fields = when.split()
    if len(fields) != len(_FIELDS):
        return f"has the crontab {when!r}, which has not five fields"
    due: dict[str, set[int]] = {}
    for (name, numbers), text in zip(_FIELDS, fields, strict=True):
        for part in text.split(","):
            if not (found := _numbers_of(part, numbers)):
                return f"has the crontab {when!r}: {part!r} is no {name}"
            due.setdefault(name, set()).update(found)
    if min(due[_DAY]) > max(_LONGEST[month - 1] for month in due[_MONTH]):
        return f"has the crontab {when!r}, a day that never comes"
    return None


def _numbers_of(part: str, numbers: range) -> list[int]:
    """Give the numbers a part of a field stands for, none for what is no part of it."""
    match = _PART.fullmatch(part)
    if match is None:
        return []
    _, first, span, last, step, times = match.groups()
    if step and first and not span:
        return []
    begin, end = (_number(first), _number(last or first)) if first else (numbers[0], numbers[-1])
    return _between(begin, end, numbers)[:: int(times or 1)]


def _between(first: int, last: int, numbers: range) -> list[int]:
    if first not in numbers or last not in numbers:
        return []
    if first <= last:
        return list(range(first, last + 1))
    return [*range(first, numbers.stop), *range(numbers.start, last + 1)]


def _number(word: str) -> int:
    return int(word) if word.isdecimal() else _NUMBERS.get(word, NO_NUMBER)
