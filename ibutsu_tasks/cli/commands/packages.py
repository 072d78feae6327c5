"""`ibutsu-tasks packages`, the task packages and what they bring: its options and one call."""

from __future__ import annotations

import typer

from ibutsu_tasks.cli.options import JsonOption, command_app
from ibutsu_tasks.cli.output.result import Result
from ibutsu_tasks.cli.state import state_of

app = command_app(invoke_without_command=True)


@app.callback()
def packages(context: typer.Context, json_wanted: JsonOption = False) -> Result | None:
    """Show the task packages that are loaded; without a command of its own, as `list` does."""
    return None if context.invoked_subcommand else list_packages(context, json_wanted)


@app.command("list")
def list_packages(context: typer.Context, json_wanted: JsonOption = False) -> Result:
    """Show which task packages are loaded, from where, and what each brings.

    Imports what a worker would import, and asks no service. Ends with 1 when one cannot be used.
    """
    from ibutsu_tasks.cli import packages as view

    before = context.parent.params.get("json_wanted") if context.parent else None
    return view.show(state_of(context, json_wanted=json_wanted or bool(before)))
