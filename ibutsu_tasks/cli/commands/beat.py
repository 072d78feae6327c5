"""`ibutsu-tasks beat`, the scheduler: its options and one call."""

from __future__ import annotations

from typing import Annotated

import typer

from ibutsu_tasks.cli.options import command_app, setting_option
from ibutsu_tasks.cli.state import state_of

app = command_app()


@app.command()
def beat(
    context: typer.Context,
    loglevel: Annotated[str | None, setting_option("log_level")] = None,
    log_format: Annotated[str | None, setting_option("log_format")] = None,
    health_port: Annotated[str | None, setting_option("health_port")] = None,
    celery_args: Annotated[
        list[str] | None, typer.Argument(metavar="[-- CELERY OPTIONS]", help="Passed to Celery untouched.")
    ] = None,
) -> None:
    """Run the scheduler in the foreground until a signal ends it.

    Any number may run: one holds a lease in the broker and sends, the others stand by. Needs no database.
    """
    state = state_of(context).with_options(log_level=loglevel, log_format=log_format, health_port=health_port)
    from ibutsu_tasks.roles import start

    raise typer.Exit(start.run_beat(state.settings, celery_args or []))
