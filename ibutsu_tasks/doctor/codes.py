"""The codes of all findings. A code once given keeps its meaning; scripts and runbooks name it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


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


@dataclass(frozen=True, slots=True)
class Code:
    """One row: the check it belongs to, how grave it is and what it means."""

    check: str
    severity: Severity
    verdict: Verdict
    meaning: str


LETTERS = {
    "settings": "S",
    "broker": "B",
    "backend": "R",
    "database": "D",
    "workers": "W",
    "beat": "T",
    "prunes": "P",
    "flower": "F",
}
"""The letter of each check's codes."""

OK, SKIPPED, NO_ANSWER, BROKE = "00", "80", "90", "99"
"""Numbers every check has."""


def code_of(check: str, number: str) -> str:
    """Give the code of a check and a number: `IBT-B01`."""
    return f"IBT-{LETTERS[check]}{number}"


_EVERY_CHECK = {
    OK: (Severity.OK, Verdict.GOOD, "all well"),
    SKIPPED: (Severity.SKIPPED, Verdict.GOOD, "not tried, because what it needs is down or not set"),
    NO_ANSWER: (Severity.FAILURE, Verdict.UNREACHABLE, "gave no answer within the time limit"),
    BROKE: (Severity.FAILURE, Verdict.BAD_NEWS, "the check itself failed"),
}

_REDIS_UNREACHABLE = {
    "01": "nothing listens there",
    "02": "something listens and does not answer, or packets are swallowed",
    "03": "the host name is unknown",
    "04": "the password or user is wrong",
    "05": "a password is needed",
    "06": "TLS is asked for where there is none",
    "07": "TLS is needed",
    "08": "the certificate is not trusted",
    "09": "what answers is not Redis",
    "10": "the database number does not exist",
    "11": "it is still loading its data",
    "12": "it has no connection left",
    "13": "a password is given where there is none",
    "14": "it admits no connection from this machine",
    "19": "it did not work for another reason",
}

_REDIS_UNFIT = {
    "20": (Severity.FAILURE, "a read-only replica"),
    "21": (Severity.FAILURE, "a node of a cluster"),
    "22": (Severity.FAILURE, "too old"),
    "23": (Severity.WARNING, "may evict keys"),
    "24": (Severity.WARNING, "memory is running out"),
    "25": (Severity.FAILURE, "memory is full"),
    "26": (Severity.FAILURE, "the user lacks a permission"),
    "27": (Severity.FAILURE, "refuses writes because it cannot save to disk"),
    "28": (Severity.FAILURE, "what was written was not read back"),
    "29": (Severity.WARNING, "the user may not look at the server's state"),
}

_DATABASE_UNREACHABLE = {
    "01": "nothing listens there",
    "02": "something listens and does not answer, or packets are swallowed",
    "03": "the host name is unknown",
    "04": "the password is wrong",
    "05": "a password is needed",
    "06": "TLS is asked for where there is none",
    "07": "this user is not admitted from here, or not without TLS",
    "08": "the certificate is not trusted",
    "09": "what answers is not PostgreSQL",
    "10": "the user does not exist",
    "11": "the database does not exist",
    "12": "it has no connection left",
    "13": "it is starting, stopping or recovering",
    "14": "the user may not connect to this database",
    "15": "an option of the address is not known",
    "16": "it answers, but its tables are locked or it is overloaded",
    "19": "it did not work for another reason",
}

_DATABASE_UNFIT = {
    "20": (Severity.FAILURE, "empty: no tables"),
    "21": (Severity.FAILURE, "tables are missing"),
    "22": (Severity.FAILURE, "columns are missing"),
    "23": (Severity.FAILURE, "columns have another type"),
    "24": (Severity.WARNING, "columns this version does not fill have no default"),
    "25": (Severity.WARNING, "indexes are missing or invalid"),
    "26": (Severity.FAILURE, "a read-only standby"),
    "27": (Severity.FAILURE, "transactions are read-only by default"),
    "28": (Severity.FAILURE, "the user may not write"),
    "29": (Severity.WARNING, "older than supported"),
    "30": (Severity.FAILURE, "an index that prunes need is missing or invalid"),
}

_OTHERS = {
    "IBT-S01": ("settings", Severity.FAILURE, Verdict.SETTINGS, "no broker is named"),
    "IBT-S02": ("settings", Severity.FAILURE, Verdict.SETTINGS, "no database is named"),
    "IBT-S03": ("settings", Severity.FAILURE, Verdict.SETTINGS, "an address cannot be used"),
    "IBT-S04": ("settings", Severity.FAILURE, Verdict.SETTINGS, "settings cannot be read"),
    "IBT-S10": ("settings", Severity.WARNING, Verdict.GOOD, "the soft time limit has no effect"),
    "IBT-S11": ("settings", Severity.WARNING, Verdict.GOOD, "Flower would refuse to start"),
    "IBT-S12": ("settings", Severity.WARNING, Verdict.GOOD, "a setting is ignored in favour of another"),
    "IBT-W01": ("workers", Severity.FAILURE, Verdict.BAD_NEWS, "no worker answers"),
    "IBT-W02": ("workers", Severity.FAILURE, Verdict.BAD_NEWS, "messages wait in a queue nobody consumes"),
    "IBT-W03": ("workers", Severity.WARNING, Verdict.GOOD, "nobody consumes a queue, which is empty"),
    "IBT-W19": ("workers", Severity.FAILURE, Verdict.UNREACHABLE, "the broker failed in the middle"),
    "IBT-T01": ("beat", Severity.FAILURE, Verdict.BAD_NEWS, "no beat leads"),
    "IBT-T02": ("beat", Severity.WARNING, Verdict.GOOD, "the clocks of two machines differ"),
    "IBT-T19": ("beat", Severity.FAILURE, Verdict.UNREACHABLE, "the broker failed in the middle"),
    "IBT-P01": ("prunes", Severity.FAILURE, Verdict.BAD_NEWS, "the last prune of a rule failed"),
    "IBT-P02": ("prunes", Severity.FAILURE, Verdict.BAD_NEWS, "the last prune of a rule was killed"),
    "IBT-P03": ("prunes", Severity.FAILURE, Verdict.BAD_NEWS, "a setting keeps prunes from running"),
    "IBT-P10": ("prunes", Severity.WARNING, Verdict.GOOD, "old rows heap up: no prune has taken them"),
    "IBT-P19": ("prunes", Severity.FAILURE, Verdict.UNREACHABLE, "a service failed in the middle"),
    "IBT-F01": ("flower", Severity.FAILURE, Verdict.UNREACHABLE, "Flower does not answer"),
    "IBT-F02": ("flower", Severity.FAILURE, Verdict.BAD_NEWS, "Flower is not healthy"),
    "IBT-F03": ("flower", Severity.FAILURE, Verdict.BAD_NEWS, "Flower is open to everybody"),
}


def _verdict(severity: Severity) -> Verdict:
    return Verdict.BAD_NEWS if severity is Severity.FAILURE else Verdict.GOOD


def _all_codes() -> dict[str, Code]:
    codes = {}
    for check in LETTERS:
        for number, row in _EVERY_CHECK.items():
            codes[code_of(check, number)] = Code(check, *row)
    for check, unreachable, unfit in (
        ("broker", _REDIS_UNREACHABLE, _REDIS_UNFIT),
        ("backend", _REDIS_UNREACHABLE, _REDIS_UNFIT),
        ("database", _DATABASE_UNREACHABLE, _DATABASE_UNFIT),
    ):
        for number, meaning in unreachable.items():
            codes[code_of(check, number)] = Code(check, Severity.FAILURE, Verdict.UNREACHABLE, meaning)
        for number, (severity, meaning) in unfit.items():
            codes[code_of(check, number)] = Code(check, severity, _verdict(severity), meaning)
    return codes | {code: Code(*row) for code, row in _OTHERS.items()}


CODES = _all_codes()
"""Every code there is."""
