"""`ibutsu-tasks queues`, what waits and who consumes it: its options and one call."""

from __future__ import annotations

import typer

from ibutsu_tasks.cli.options import JsonOption, command_app
from ibutsu_tasks.cli.output.result import Result
from ibutsu_tasks.cli.state import state_of

app = command_app()


@app.command()
def queues(context: typer.Context, json_wanted: JsonOption = False) -> Result:
    """Show how many messages wait in each queue, by priority, for how long, and how many workers consume it.

    Asks the broker, and the workers for two seconds at most.
    """
    from ibutsu_tasks.cli import queues as view

    return view.show(state_of(context, json_wanted=json_wanted))
