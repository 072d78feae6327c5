"""The codes of all findings. A code once given keeps its meaning; scripts and runbooks name it."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Severity(StrEnum):
    """How grave a finding is."""

    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"
    SKIPPED = "skipped"


class Verdict(StrEnum):
    """What a finding, or the gravest of them, means for the command's exit code."""

    GOOD = "good"
    BAD_NEWS = "bad news"
    UNREACHABLE = "unreachable"
    SETTINGS = "settings"


class Code(NamedTuple):
    """One row: the check it belongs to, how grave it is and what it means for the whole."""

    check: str
    severity: Severity
    verdict: Verdict


LETTERS = {
    "settings": "S",
    "packages": "K",
    "broker": "B",
    "backend": "R",
    "database": "D",
    "workers": "W",
    "held": "H",
    "beat": "T",
    "prunes": "P",
    "imports": "I",
    "flower": "F",
}
"""The letter of each check's codes."""

LINES = (
    "online",
    "leader",
    "connected",
    "scheduler",
    "probes",
    "limits",
    "queues",
    "canary",
    "failover",
    "updates",
)
"""The lines of `deploy check`: their codes have the letter A and, as the first digit, the line's place."""

OK, SKIPPED, NO_ANSWER, BROKE = "00", "80", "90", "99"
"""Numbers every check has."""


def _numbers(first: int, last: int) -> tuple[str, ...]:
    return tuple(f"{number:02}" for number in range(first, last + 1))


def code_of(check: str, number: str) -> str:
    """Give the code of a check and a number: `IBT-B01`."""
    return f"IBT-{LETTERS[check]}{number}"


# The kinds of findings, and the numbers of each kind that a check has.
_WELL = (Severity.OK, Verdict.GOOD)
_NOT_TRIED = (Severity.SKIPPED, Verdict.GOOD)
_ADVICE = (Severity.WARNING, Verdict.GOOD)
_BAD = (Severity.FAILURE, Verdict.BAD_NEWS)
_DOWN = (Severity.FAILURE, Verdict.UNREACHABLE)
_UNSET = (Severity.FAILURE, Verdict.SETTINGS)

_EVERY_CHECK = {_WELL: (OK,), _NOT_TRIED: (SKIPPED,), _DOWN: (NO_ANSWER,), _BAD: (BROKE,)}

_REDIS = {
    _DOWN: (*_numbers(1, 14), "19"),
    _BAD: ("20", "21", "22", "25", "26", "27", "28"),
    _ADVICE: ("23", "24", "29"),
}

_BY_CHECK: dict[str, dict[tuple[Severity, Verdict], tuple[str, ...]]] = {
    "settings": {_UNSET: _numbers(1, 4), _ADVICE: _numbers(10, 13)},
    "packages": {_BAD: ("01",), _ADVICE: ("02", "03", "04", "05")},
    "broker": _REDIS | {_BAD: (*_REDIS[_BAD], "31"), _ADVICE: (*_REDIS[_ADVICE], "30")},
    "backend": _REDIS,
    "database": {
        _DOWN: (*_numbers(1, 16), "19"),
        _BAD: ("20", "21", "22", "23", "26", "27", "28", "30"),
        _ADVICE: ("24", "25", "29"),
    },
    "workers": {_BAD: ("01", "02"), _ADVICE: ("03",), _DOWN: ("19",)},
    "held": {_BAD: ("01",), _ADVICE: ("02",), _DOWN: ("19",)},
    "beat": {_BAD: ("01", "03"), _ADVICE: ("02",), _DOWN: ("19",)},
    "prunes": {_BAD: ("01", "02", "03"), _ADVICE: ("10",), _DOWN: ("19",)},
    "imports": {_BAD: ("01",), _ADVICE: ("10", "11"), _DOWN: ("19",)},
    "flower": {_BAD: ("02", "03"), _DOWN: ("01",)},
}

_LINE_NUMBERS = {_WELL: "0", _BAD: "12345", _NOT_TRIED: "8"}

CODES = {
    code_of(check, number): Code(check, *kind)
    for check, own in _BY_CHECK.items()
    for table in (_EVERY_CHECK, own)
    for kind, numbers in table.items()
    for number in numbers
} | {
    f"IBT-A{place}{number}": Code(line, *kind)
    for place, line in enumerate(LINES)
    for kind, numbers in _LINE_NUMBERS.items()
    for number in numbers
}
"""Every code there is. What it means is said by the one finding, or row of a table of faults, that has it."""
