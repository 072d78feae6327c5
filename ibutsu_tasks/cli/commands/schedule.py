"""`ibutsu-tasks schedule`, what beat sends and when: its options and one call."""

from __future__ import annotations

import typer

from ibutsu_tasks.cli.options import JsonOption, command_app
from ibutsu_tasks.cli.output.result import Result
from ibutsu_tasks.cli.state import state_of

app = command_app(invoke_without_command=True)


@app.callback()
def schedule(context: typer.Context, json_wanted: JsonOption = False) -> Result | None:
    """Show what beat sends and when; without a command of its own, as `list` does."""
    return None if context.invoked_subcommand else list_entries(context, json_wanted)


@app.command("list")
def list_entries(context: typer.Context, json_wanted: JsonOption = False) -> Result:
    """Show each entry with its last and its next run, all in UTC, and which beat leads.

    Asks the broker alone. When it cannot be reached, shows what is to be sent and ends with 4.
    """
    from ibutsu_tasks.cli import schedule as view

    before = context.parent.params.get("json_wanted") if context.parent else None
    return view.show(state_of(context, json_wanted=json_wanted or bool(before)))
