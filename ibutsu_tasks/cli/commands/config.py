"""`ibutsu-tasks config`, every setting with its value and source: its options and one call."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from ibutsu_tasks.cli.exit_codes import ExitCode
from ibutsu_tasks.cli.options import JsonOption, command_app
from ibutsu_tasks.cli.output.formats import plain
from ibutsu_tasks.cli.output.result import Result, Table
from ibutsu_tasks.cli.state import state_of
from ibutsu_tasks.settings import all_rows
from ibutsu_tasks.settings.values import NONE, as_text

if TYPE_CHECKING:
    from ibutsu_tasks.packages.declaration import Setting
    from ibutsu_tasks.settings import Settings

app = command_app()


@app.command()
def config(context: typer.Context, json_wanted: JsonOption = False) -> Result:
    """Show every setting with its value, unit and source; secrets are masked.

    Ends with 3 when one cannot be used, and marks it.
    """
    settings, rows = state_of(context, json_wanted=json_wanted).readable_settings, all_rows().values()
    cells = [[row.variables[0], _value(settings, row), plain(settings.source(row.name))] for row in rows]
    table = Table(["variable", "value", "source"], cells, fold=["value", "source"])
    remarks = [f"[yellow]Warning:[/] {plain(remark)}" for remark in settings.remarks]
    return Result(
        {"settings": [_as_json(settings, row) for row in rows], "remarks": list(settings.remarks)},
        [table],
        remarks,
        ExitCode.SETTINGS if settings.problems else ExitCode.DONE,
    )


def _value(settings: Settings, row: Setting) -> str:
    if row.name in settings.problems:
        return f"[bold red]✗[/] {plain(settings.problems[row.name])}"
    shown = settings.shown(row.name)
    text = as_text(tuple(shown) if isinstance(shown, list) else shown)
    return plain(text if text == NONE else f"{text} {row.unit}".strip())


def _as_json(settings: Settings, row: Setting) -> dict[str, object]:
    problem = settings.problems.get(row.name)
    return {
        "name": row.name,
        "variables": row.variables,
        "value": None if problem else settings.shown(row.name),
        "unit": row.unit,
        "source": settings.source(row.name),
        "problem": problem,
        "help": row.help,
    }
