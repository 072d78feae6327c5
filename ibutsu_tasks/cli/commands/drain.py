"""`ibutsu-tasks drain`, a worker before its end: its options and one call."""

from __future__ import annotations

from typing import Annotated

import typer

from ibutsu_tasks.cli.options import JsonOption, command_app, seconds_option
from ibutsu_tasks.cli.output.result import Result
from ibutsu_tasks.cli.state import state_of

app = command_app()


@app.command()
def drain(
    context: typer.Context,
    timeout_seconds: Annotated[
        float, seconds_option("--timeout", "End with 124 when tasks still run after so many seconds.")
    ] = 600.0,
    node: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Drain the worker of this node name alone, not all on this host."),
    ] = None,
    json_wanted: JsonOption = False,
) -> Result:
    """Have the worker on this host take no more messages, and wait until what it runs has ended.

    For the time before SIGTERM, such as a preStop hook, where tasks take longer than the grace period. A
    drained worker stays live and is not ready; it consumes again once it is started anew.
    """
    from ibutsu_tasks.cli import drain as draining

    return draining.drain(state_of(context, json_wanted=json_wanted), node, timeout_seconds)
