"""What the doctor says: findings with stable codes, and the report they make."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from ibutsu_tasks.doctor.codes import CODES, Severity, Verdict

_GRAVEST_FIRST = (Verdict.SETTINGS, Verdict.UNREACHABLE, Verdict.BAD_NEWS)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing seen: `hint` is the command or setting that mends it, empty when nothing is wrong."""

    code: str
    check: str
    severity: Severity
    seen: str
    hint: str = ""

    @property
    def verdict(self) -> Verdict:
        """What this finding alone means for the whole."""
        return CODES[self.code].verdict


def finding(code: str, seen: str, hint: str = "") -> Finding:
    """Make the finding of a code in the table. Raises KeyError for a code that is not."""
    row = CODES[code]
    return Finding(code, row.check, row.severity, seen, hint)


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
            "findings": [asdict(item) for item in self.findings],
        }
