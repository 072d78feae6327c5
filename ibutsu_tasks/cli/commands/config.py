"""`ibutsu-tasks config`, every setting with its value and source: its options and one call."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from ibutsu_tasks.cli.formats import plain
from ibutsu_tasks.cli.options import JsonOption, command_app
from ibutsu_tasks.cli.result import Result, Table
from ibutsu_tasks.cli.state import state_of
from ibutsu_tasks.settings import setting_rows
from ibutsu_tasks.settings.values import NONE

if TYPE_CHECKING:
    from ibutsu_tasks.settings import Settings
    from ibutsu_tasks.settings.values import Row

app = command_app()


@app.command()
def config(context: typer.Context, json_wanted: JsonOption = False) -> Result:
    """Show every setting with its value, unit and source; secrets are masked."""
    settings, rows = state_of(context, json_wanted=json_wanted).settings, setting_rows().values()
    cells = [
        [row.variables[0], plain(_value(settings, row)), plain(settings.source(row.name))] for row in rows
    ]
    table = Table(["variable", "value", "source"], cells, fold=["value", "source"])
    return Result({"settings": [_as_json(settings, row) for row in rows]}, [table])


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
