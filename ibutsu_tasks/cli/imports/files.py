"""The files of an `import`: the state of each, and how they look: columns of the table, JSON, sentences."""

from __future__ import annotations

import math
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ibutsu_tasks.cli.output.formats import NO_VALUE, format_seconds, plain
from ibutsu_tasks.cli.output.result import Result, Table
from ibutsu_tasks.ibutsu.importers.summary_counts import SUMMARY_COUNTS
from ibutsu_tasks.ibutsu.operations.imports.records import ImportOutcome

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from uuid import UUID

    from ibutsu_tasks.cli.exit_codes import ExitCode
    from ibutsu_tasks.cli.output.result import Block

NUMBERS = {count.title: count.key for count in SUMMARY_COUNTS if count.title}
"""The keys of a run's summary, by the titles of their columns."""

MAX_WARNINGS = 3
MAX_IDS = 5
"""As many imports are named for `--follow`; more would fill the terminal."""

COLUMNS = (*NUMBERS, "pass %", "duration", "took")


NOT_SEEN = ImportOutcome("", "pending")


@dataclass(slots=True)
class FileImport:
    """One file on its way: refused here, or stored and followed by its id.

    `filename` is the name its import has, `path` the file as the user gave it, None for an import that is
    only followed. `took_seconds` runs from its upload to its end, None where that was not witnessed: of one
    that had ended before it was followed.
    """

    filename: str
    path: str | None = None
    import_id: UUID | None = None
    task_id: str | None = None
    refusal: str | None = None
    outcome: ImportOutcome = NOT_SEEN
    took_seconds: float | None = None
    began: float = field(default_factory=time.monotonic)
    """On the monotonic clock, as `ended` is: when its message was sent, or it was followed."""
    ended: float | None = None
    """When a worker said that it has ended."""

    @property
    def status(self) -> str:
        """`pending`, `running`, `done`, `error`; `refused` without a row, `gone` when it was deleted."""
        return "refused" if self.refusal is not None else self.outcome.status or "gone"

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.refusal is not None or self.outcome.has_ended

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
        reason = self.refusal or self.outcome.error
        return reason or f"The import ended with the status {self.status} and without a reason."

    def see(self, outcome: ImportOutcome) -> None:
        """Take the state that the database has of it now."""
        now = time.monotonic()
        if self._is_followed_only and self.outcome is NOT_SEEN:
            self.began = math.inf if outcome.has_ended else now - outcome.age_seconds
        self.outcome = outcome
        self.filename = outcome.filename or self.filename
        if outcome.has_ended and self.began <= now:
            self.took_seconds = (self.ended or now) - self.began

    def hear_end(self) -> None:
        """Take it from a worker that it has ended now."""
        self.ended = self.ended or time.monotonic()

    @property
    def _is_followed_only(self) -> bool:
        return self.path is None

    def as_json(self) -> dict[str, Any]:
        """Give every fact; numbers are null until there is a run."""
        summary = self.outcome.summary or {}
        return {
            "file": self.path or self.filename,
            "import_id": self.import_id and str(self.import_id),
            "task_id": self.task_id,
            "status": self.status,
            "error": self.error,
            "warnings": list(self.outcome.warnings),
            "partial": self.outcome.partial,
            "run_id": self.outcome.run_id and str(self.outcome.run_id),
            **{title: summary.get(key) for title, key in NUMBERS.items()},
            "pass_percent": summary.get("pass_percent"),
            "duration_seconds": self.outcome.duration_seconds,
            "took_seconds": None if self.took_seconds is None else round(self.took_seconds, 2),
        }


def result_of(imports: Sequence[FileImport], exit_code: ExitCode, notes: Sequence[Block] = ()) -> Result:
    """Give what became of the files: a table of the runs, and sentences about the others."""
    names = _tell_apart(imports)
    rows = [_cells(one, name) for one, name in zip(imports, names, strict=True) if not one.has_failed]
    table = [Table(["file", "run id", *COLUMNS], rows, right=COLUMNS, heads=2)] if rows else []
    findings = [each for one, name in zip(imports, names, strict=True) for each in _findings(one, name)]
    return Result({"imports": [one.as_json() for one in imports]}, [*table, *notes], findings, exit_code)


def how_to_follow(sentence: str, imports: Sequence[FileImport], most: int = MAX_IDS) -> list[str]:
    """Name at `most` so many imports that have not ended behind a sentence; the JSON document has all."""
    ids = [one.import_id for one in imports if not one.has_ended]
    if not ids:
        return []
    command = " ".join(["ibutsu-tasks import", *(f"--follow {one}" for one in ids[:most])])
    rest = f" and {len(ids) - most} more; --json lists all" if len(ids) > most else ""
    return [f"[yellow]{plain(sentence)}[/] Look again with: {command}{rest}"]


def _tell_apart(imports: Sequence[FileImport]) -> list[str]:
    """Give each file's name, or what it was asked for by where several have the same."""
    counts = Counter(one.filename for one in imports)
    asked = [one.path or str(one.import_id or one.filename) for one in imports]
    return [
        one.filename if counts[one.filename] == 1 else path for one, path in zip(imports, asked, strict=True)
    ]


def _cells(one: FileImport, name: str) -> list[str]:
    facts = one.as_json()
    run_id = facts["run_id"] or f"({one.status})"
    percent = NO_VALUE if facts["pass_percent"] is None else f"{facts['pass_percent']} %"
    return [
        plain(name),
        run_id,
        *(NO_VALUE if facts[name] is None else str(facts[name]) for name in NUMBERS),
        percent,
        format_seconds(facts["duration_seconds"]),
        format_seconds(one.took_seconds),
    ]


def _findings(one: FileImport, name: str) -> Iterator[str]:
    if one.error:
        yield f"[bold red]Not imported:[/] {plain(_named(one.error, name))}"
        return
    if one.outcome.partial:
        yield f"[bold yellow]Imported in part:[/] {plain(_named(one.outcome.partial, name))}"
    warnings = one.outcome.warnings
    for warning in warnings[:MAX_WARNINGS]:
        yield f"[yellow]Warning:[/] {plain(f'{name}: {warning}')}"
    if len(warnings) > MAX_WARNINGS:
        yield f"[yellow]Warning:[/] {plain(name)}: and {len(warnings) - MAX_WARNINGS} more"


def _named(sentence: str, name: str) -> str:
    """Name the file, as most sentences do themselves; one about a killed worker does not."""
    return sentence if name in sentence else f"{name}: {sentence}"
