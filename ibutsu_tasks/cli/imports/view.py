"""How imports look: one table of the runs made, a sentence for each file that made none."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID

from rich.markup import escape

from ibutsu_tasks.cli.output import format_seconds, plain, visible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ibutsu_tasks.cli.output import Output
    from ibutsu_tasks.operations.imports.outcomes import ImportOutcome

NO_VALUE = "–"
MAX_WARNINGS = 3
UUID_WIDTH = 36

NUMBERS = ("tests", "passed", "failed", "errors", "skipped", "xfailed", "xpassed")
SUMMARY_KEYS = ("tests", "passes", "failures", "errors", "skips", "xfailures", "xpasses")
"""The keys of a run's summary behind `NUMBERS`."""

COLUMNS = (*NUMBERS, "pass %", "duration", "took")
INDENT = "  "
MIN_NAME_WIDTH = 12


@dataclass(slots=True)
class FileImport:
    """One file on its way: refused here, or stored and followed by its id.

    `filename` is the name its import has, `path` the file as the user gave it, None for an import that is
    only followed. `took_seconds` runs from `began` on the monotonic clock, when its message was sent, to the
    first sight of the import's end.
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
        told = self.refusal or (self.outcome and self.outcome.error)
        return told or f"The import ended with the status {self.status} and without a reason."

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
            **{name: summary.get(key) for name, key in zip(NUMBERS, SUMMARY_KEYS, strict=True)},
            "pass_percent": summary.get("pass_percent"),
            "duration_seconds": self.outcome.duration_seconds if self.outcome else None,
            "took_seconds": None if self.took_seconds is None else round(self.took_seconds, 2),
        }


def show(output: Output, imports: Sequence[FileImport]) -> None:
    """Write what became of the files to stdout, and to stderr why some became nothing."""
    if output.json_wanted:
        output.show_json({"imports": [one.as_json() for one in imports]})
        return
    names = _tell_apart(imports)
    rows = [_cells(one, name) for one, name in zip(imports, names, strict=True) if not one.has_failed]
    if rows:
        _show_runs(output, rows)
    for one, name in zip(imports, names, strict=True):
        _say_findings(output, one, name)


def _tell_apart(imports: Sequence[FileImport]) -> list[str]:
    """Give each file's name, or what it was asked for by where several have the same."""
    counts = Counter(one.filename for one in imports)
    asked = [one.path or str(one.import_id or one.filename) for one in imports]
    return [
        one.filename if counts[one.filename] == 1 else path for one, path in zip(imports, asked, strict=True)
    ]


def _show_runs(output: Output, rows: Sequence[Sequence[str]]) -> None:
    columns = ["file", "run id", *COLUMNS]
    if _widths([columns, *rows], gap=2) <= output.stdout.width:
        output.show_table(None, columns, [[escape(row[0]), *row[1:]] for row in rows], right=COLUMNS)
    else:
        _show_two_lines_each(output, columns, rows)


def _widths(rows: Sequence[Sequence[str]], *, gap: int) -> int:
    return sum(max(map(len, cells)) + gap for cells in zip(*rows, strict=True))


def _show_two_lines_each(output: Output, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Fit 80 columns, which the id of a run alone halves: name and id, then the numbers below."""
    numbers = [columns[2:], *([_tight(cell) for cell in row[2:]] for row in rows)]
    widths = [max(map(len, cells)) for cells in zip(*numbers, strict=True)]
    longest = max(len(row[0]) for row in (columns, *rows))
    left = max(min(longest, output.stdout.width - UUID_WIDTH - 1), MIN_NAME_WIDTH)
    for row, cells in zip((columns, *rows), numbers, strict=True):
        name = escape(shorten(row[0], left).ljust(left))
        line = " ".join(cell.rjust(width) for cell, width in zip(cells, widths, strict=True))
        text = f"{name} {row[1]}\n{INDENT}{line}"
        output.show(f"[bold]{text}[/]" if row is columns else text)


def _tight(cell: str) -> str:
    """Write `3 min 20 s` as `3m20s`."""
    return cell.replace(" min ", "m").replace(" ", "")


def _cells(one: FileImport, name: str) -> list[str]:
    facts = one.as_json()
    run_id = facts["run_id"] or f"({one.status})"
    percent = NO_VALUE if facts["pass_percent"] is None else f"{facts['pass_percent']} %"
    return [
        visible(name),
        run_id,
        *(NO_VALUE if facts[name] is None else str(facts[name]) for name in NUMBERS),
        percent,
        format_seconds(facts["duration_seconds"]),
        format_seconds(one.took_seconds),
    ]


def shorten(name: str, width: int) -> str:
    """Keep the beginning and the end of a file's name, which tell more than its middle."""
    if len(name) <= width:
        return name
    head = (width - 1) // 2
    return f"{name[:head]}…{name[head + 1 - width :]}"


def _say_findings(output: Output, one: FileImport, name: str) -> None:
    if one.error:
        output.say(f"[bold red]Not imported:[/] {plain(_named(one.error, name))}")
        return
    if one.outcome and one.outcome.partial:
        output.say(f"[bold yellow]Imported in part:[/] {plain(_named(one.outcome.partial, name))}")
    warnings = one.outcome.warnings if one.outcome else ()
    for warning in warnings[:MAX_WARNINGS]:
        output.say(f"[yellow]Warning:[/] {plain(f'{name}: {warning}')}")
    if len(warnings) > MAX_WARNINGS:
        output.say(f"[yellow]Warning:[/] {plain(name)}: and {len(warnings) - MAX_WARNINGS} more")


def _named(sentence: str, name: str) -> str:
    """Name the file, as most sentences do themselves; one about a killed worker does not."""
    return sentence if name in sentence else f"{name}: {sentence}"
