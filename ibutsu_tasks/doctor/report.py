"""What the doctor says: findings with stable codes, how they are worded, and the report they make."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from ibutsu_tasks.doctor.codes import CODES, Severity, Verdict, code_of
from ibutsu_tasks.settings import setting_rows
from ibutsu_tasks.settings.sources import LOCAL_STACK
from ibutsu_tasks.text.quoting import cut

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ibutsu_tasks.settings import Settings

MAX_REASON_CHARACTERS = 200

_GRAVEST_FIRST = (Verdict.SETTINGS, Verdict.UNREACHABLE, Verdict.BAD_NEWS)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing seen: `hint` is the command or setting that fixes it, empty when nothing is wrong."""

    code: str
    check: str
    severity: Severity
    seen: str
    hint: str = ""
    verdict: Verdict = Verdict.GOOD
    """What this finding alone means for the whole."""

    def as_json(self) -> dict[str, str]:
        """Give it as it stands in the document of `doctor --json`."""
        told = asdict(self)
        del told["verdict"]
        return told


def finding(code: str, seen: str, hint: str = "") -> Finding:
    """Make the finding of a code in the table. Raises KeyError for a code that is not."""
    row = CODES[code]
    return Finding(code, row.check, row.severity, seen, hint, row.verdict)


def well(code: str, seen: str) -> Finding:
    """Make a package's finding that all is in order; its check is filled in by who runs it."""
    return Finding(code, "", Severity.OK, seen)


def advice(code: str, seen: str, hint: str) -> Finding:
    """Make a package's finding that is no failure and wants to be looked at."""
    return Finding(code, "", Severity.WARNING, seen, hint)


def wrong(code: str, seen: str, hint: str) -> Finding:
    """Make a package's finding that something is wrong; `hint` is what mends it."""
    return Finding(code, "", Severity.FAILURE, seen, hint, Verdict.BAD_NEWS)


def unreachable(code: str, seen: str, hint: str) -> Finding:
    """Make a package's finding that a service cannot be reached."""
    return Finding(code, "", Severity.FAILURE, seen, hint, Verdict.UNREACHABLE)


@dataclass(frozen=True, slots=True)
class Fault:
    """One cause of an error: how the error reads, the number of its code, its sentence and its hint.

    The texts may use words in braces: `{service}` (its name), `{place}` (where it is), `{reason}` (the
    error itself), `{host_variable}` (what sets the place) and what else the table of faults fills in.
    """

    pattern: str
    number: str
    seen: str
    hint: str

    def finding(self, check: str, **words: object) -> Finding:
        """Give it as a finding of `check`."""
        return finding(code_of(check, self.number), self.seen.format(**words), self.hint.format(**words))


UNREACHED = (
    Fault(
        r"Name or service not known|nodename nor servname|[Nn]ame resolution|No address associated"
        r"|getaddrinfo failed|could not translate host name|label (empty or )?too long",
        "03",
        "The host of {place} is unknown: its name does not resolve.",
        "Correct {host_variable}.",
    ),
    Fault(
        r"No such file or directory",
        "01",
        "{service} is not running at {place}: there is no such socket.",
        "Start {service}, or correct {host_variable}.",
    ),
    Fault(
        r"[Rr]efused",
        "01",
        "Nothing listens at {place}: the connection was refused.",
        "Start {service} there, or correct {host_variable}.",
    ),
    Fault(
        r"unreachable|No route to host",
        "01",
        "There is no way to {place}: the network or host is unreachable.",
        "Correct {host_variable}, or repair the network.",
    ),
    Fault(
        r"timeout expired|[Tt]imed? ?out|Timeout",
        "02",
        "{service} at {place} did not answer within {seconds:g} s.",
        "Check {host_variable} and what lies between (firewall, network policy).",
    ),
)
"""Causes that lie on the way to a service: the errors of every driver quote the system's words for them."""


def find_fault(faults: Iterable[Fault], text: str) -> Fault | None:
    """Give the first row whose pattern is found in an error's text."""
    return next((fault for fault in faults if re.search(fault.pattern, text, re.DOTALL)), None)


def variable_of(settings: Settings, field: str) -> str:
    """Name what sets `field`: the variable or option it came from, else its first variable."""
    source = settings.sources.get(field, LOCAL_STACK)
    return setting_rows()[field].variables[0] if source == LOCAL_STACK else source.rpartition(" ")[2]


def reason_of(error: BaseException, settings: Settings) -> str:
    """Give a library's error as one line of at most MAX_REASON_CHARACTERS characters, without any secret."""
    text = settings.mask(" ".join(str(error).split())) or type(error).__name__
    return cut(text, MAX_REASON_CHARACTERS)


@dataclass(frozen=True, slots=True)
class Report:
    """All findings in the order of the checks, and how long it took."""

    findings: tuple[Finding, ...]
    elapsed_seconds: float

    @property
    def verdict(self) -> Verdict:
        """The gravest of all findings: settings before services before the rest."""
        verdicts = {item.verdict for item in self.findings}
        return next((verdict for verdict in _GRAVEST_FIRST if verdict in verdicts), Verdict.GOOD)

    def as_json(self) -> dict[str, Any]:
        """Give the document `doctor --json` writes."""
        return {
            "verdict": self.verdict,
            "elapsed_seconds": round(self.elapsed_seconds, 3),
            "findings": [item.as_json() for item in self.findings],
        }
