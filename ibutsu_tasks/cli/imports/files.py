"""One file of an `import` on its way: its state, how long it took (the column "took"), its JSON."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ibutsu_tasks.importers.summary_counts import SUMMARY_COUNTS

if TYPE_CHECKING:
    from uuid import UUID

    from ibutsu_tasks.operations.imports.outcomes import ImportOutcome

NUMBERS = {count.title: count.key for count in SUMMARY_COUNTS if count.title}
"""The keys of a run's summary, by the titles of their columns."""


@dataclass(slots=True)
class FileImport:
    """One file on its way: refused here, or stored and followed by its id.

    `filename` is the name its import has, `path` the file as the user gave it, None for an import that is
    only followed. `took_seconds` runs from `began` on the monotonic clock, when its message was sent, to the
    first sight of the import's end (`see`).
    """

    filename: str
    path: str | None = None
    import_id: UUID | None = None
    refusal: str | None = None
    outcome: ImportOutcome | None = None
    took_seconds: float | None = None
    began: float = field(default_factory=time.monotonic)

    @property
    def status(self) -> str:
        """`pending`, `running`, `done`, `error`; `refused` without a row, `gone` when it was deleted."""
        if self.refusal is not None:
            return "refused"
        if self.outcome is None:
            return "pending"
        return self.outcome.status or "gone"

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.refusal is not None or (self.outcome is not None and self.outcome.has_ended)

    @property
    def has_failed(self) -> bool:
        """Whether it ended without a run."""
        return self.has_ended and self.status != "done"

    @property
    def error(self) -> str | None:
        """The sentence that says why there is no run."""
        if not self.has_failed:
            return None
        if self.status == "gone":
            return f"There is no import {self.import_id}; its row does not exist (any more)."
        reason = self.refusal or (self.outcome and self.outcome.error)
        return reason or f"The import ended with the status {self.status} and without a reason."

    def see(self, outcome: ImportOutcome) -> None:
        """Take the state that the database has of it now."""
        self.outcome = outcome
        self.filename = outcome.filename or self.filename
        if outcome.has_ended:
            self.took_seconds = time.monotonic() - self.began

    def as_json(self) -> dict[str, Any]:
        """Give every fact; numbers are null until there is a run."""
        summary = (self.outcome and self.outcome.summary) or {}
        return {
            "file": self.path or self.filename,
            "import_id": self.import_id and str(self.import_id),
            "status": self.status,
            "error": self.error,
            "warnings": list(self.outcome.warnings) if self.outcome else [],
            "partial": self.outcome.partial if self.outcome else None,
            "run_id": str(self.outcome.run_id) if self.outcome and self.outcome.run_id else None,
            **{title: summary.get(key) for title, key in NUMBERS.items()},
            "pass_percent": summary.get("pass_percent"),
            "duration_seconds": self.outcome.duration_seconds if self.outcome else None,
            "took_seconds": None if self.took_seconds is None else round(self.took_seconds, 2),
        }
