"""`ibutsu-tasks doctor`, the checks of every service: its options and one call."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated

import typer

from ibutsu_tasks.cli.exit_codes import ExitCode
from ibutsu_tasks.cli.formats import plain
from ibutsu_tasks.cli.options import JsonOption, command_app
from ibutsu_tasks.cli.result import Result, Table
from ibutsu_tasks.cli.state import state_of
from ibutsu_tasks.errors import SettingsError

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

app = command_app()


def _complete_check(incomplete: str) -> list[str]:
    from ibutsu_tasks.doctor import CHECKS

    before, comma, last = incomplete.rpartition(",")
    return [f"{before}{comma}{name}" for name in CHECKS if name.startswith(last)]


@app.command()
def doctor(
    context: typer.Context,
    only: Annotated[
        list[str] | None,
        typer.Option(
            help="Run these checks alone: settings, broker, backend, database, workers, beat, prunes,"
            " flower.",
            metavar="CHECK[,CHECK]",
            autocompletion=_complete_check,
        ),
    ] = None,
    json_wanted: JsonOption = False,
) -> Result:
    """Check settings, broker, result backend, database, workers, beat, prunes and Flower.

    Each finding says how to fix it. Ends within 10 seconds whatever the network does, with 1 when
    something is wrong, 3 when settings are missing, 4 when a service cannot be reached.
    """
    from ibutsu_tasks.doctor import choose, examine
    from ibutsu_tasks.doctor.report import Report
    from ibutsu_tasks.doctor.settings import unusable_settings

    state, chosen = state_of(context, json_wanted=json_wanted), choose(only or ())
    try:
        report = examine(state.readable_settings, chosen)
    except SettingsError as error:
        report = Report((unusable_settings(error),), 0.0)
    end = f"{_summary(report)} in {report.elapsed_seconds:.1f} s."
    return Result(report.as_json(), [_table(report), end], exit_code=EXIT_CODES[report.verdict])


def _table(report: Report) -> Table:
    rows = []
    for item in report.findings:
        rows.append([MARKS[item.severity], item.check, item.code, plain(item.seen)])
        if item.hint:
            rows.append(["", "", "", f"[bold]Try:[/] {plain(item.hint)}"])
    return Table(["", "check", "code", "what was seen"], rows, fold=["what was seen"], width_limit=80)


def _summary(report: Report) -> str:
    counts = Counter(str(item.severity) for item in report.findings)
    return ", ".join(f"{counts[severity]} {word}" for severity, word in COUNTED.items() if counts[severity])
