"""How findings look: a table, a line that counts them, and the exit code of the gravest."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from ibutsu_tasks.cli.exit_codes import ExitCode
from ibutsu_tasks.cli.output.formats import plain
from ibutsu_tasks.cli.output.result import Result, Table

if TYPE_CHECKING:
    from ibutsu_tasks.doctor.report import Report

MARKS = {
    "ok": "[green]✓[/]",
    "warning": "[yellow]![/]",
    "failure": "[bold red]✗[/]",
    "skipped": "[dim]–[/]",
}

COUNTED = {"failure": "failed", "warning": "to be looked at", "skipped": "skipped", "ok": "in order"}

EXIT_CODES = {
    "good": ExitCode.DONE,
    "bad news": ExitCode.BAD_NEWS,
    "unreachable": ExitCode.UNREACHABLE,
    "settings": ExitCode.SETTINGS,
}


def show_report(report: Report) -> Result:
    """Give a report as the result of a command."""
    end = f"{_summary(report)} in {report.elapsed_seconds:.1f} s."
    return Result(report.as_json(), [_table(report), end], exit_code=EXIT_CODES[report.verdict])


def _table(report: Report) -> Table:
    rows = []
    for item in report.findings:
        rows.append([MARKS[item.severity], item.check, item.code, plain(item.seen)])
        if item.hint:
            rows.append(["", "", "", f"[bold]Try:[/] {plain(item.hint)}"])
    columns = ["", "check", "code", "what was seen"]
    return Table(columns, rows, fold=["what was seen"], width_limit=80, heads=3)


def _summary(report: Report) -> str:
    counts = Counter(str(item.severity) for item in report.findings)
    return ", ".join(f"{counts[severity]} {word}" for severity, word in COUNTED.items() if counts[severity])
