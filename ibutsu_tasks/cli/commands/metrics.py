"""`ibutsu-tasks metrics`, the numbers of the whole fleet: its options and one call."""

from __future__ import annotations

from typing import Annotated

import typer

from ibutsu_tasks.cli.options import JsonOption, command_app
from ibutsu_tasks.cli.output.result import Result
from ibutsu_tasks.cli.state import state_of

app = command_app()


@app.command()
def metrics(
    context: typer.Context,
    port: Annotated[
        int | None,
        typer.Option(
            min=1, max=65535, help="Serve /metrics, /livez and /readyz here until a signal ends it."
        ),
    ] = None,
    json_wanted: JsonOption = False,
) -> Result:
    """Show the numbers of the whole fleet as Prometheus reads them, or serve them to it.

    Reads Redis and PostgreSQL and asks no worker. What does not answer within 2 s is 0 in
    `ibutsu_tasks_up`, and its numbers are missing; without --port that ends with 4. Workers add what they
    count every few seconds: one that is killed takes its last seconds along, and stock workers count nothing,
    but their messages are among those that wait and are held.
    """
    state = state_of(context, json_wanted=json_wanted)
    from ibutsu_tasks.cli import metrics as page

    if port is None:
        return page.show(state)
    raise typer.Exit(page.serve(state.settings, port))
