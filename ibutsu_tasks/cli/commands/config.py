"""`ibutsu-tasks config`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from ibutsu_tasks.cli.options import JsonOption, command_app
from ibutsu_tasks.cli.state import state_of
from ibutsu_tasks.settings import setting_rows
from ibutsu_tasks.settings.values import NONE

if TYPE_CHECKING:
    from ibutsu_tasks.settings import Settings
    from ibutsu_tasks.settings.rows import Row

app = command_app()


@app.command()
def config(context: typer.Context, json_wanted: JsonOption = False) -> None:
    """Show every setting with its value, unit and source; secrets are masked."""
    from rich.markup import escape

    state = state_of(context, json_wanted=json_wanted)
    settings = state.settings
    if json_wanted:
        state.output.show_json([_as_json(settings, row) for row in setting_rows().values()])
        return
    cells = [
        [
            row.variables[0],
            escape(_value(settings, row)),
            settings.source(row.name),
        ]
        for row in setting_rows().values()
    ]
    state.output.show_table(None, ["variable", "value", "source"], cells, fold=["value", "source"])


def _value(settings: Settings, row: Row) -> str:
    shown = settings.shown(row.name)
    return shown if shown == NONE else f"{shown} {row.unit}".strip()


def _as_json(settings: Settings, row: Row) -> dict[str, object]:
    return {
        "name": row.name,
        "variables": row.variables,
        "value": settings.shown(row.name),
        "unit": row.unit,
        "source": settings.source(row.name),
        "help": row.help,
    }
