"""`ibutsu-tasks flower`, the web page: its options and one call."""

from __future__ import annotations

from typing import Annotated

import typer

from ibutsu_tasks.cli.options import command_app, setting_option
from ibutsu_tasks.cli.state import state_of

app = command_app()


@app.command()
def flower(
    context: typer.Context,
    address: Annotated[str | None, setting_option("flower_address")] = None,
    port: Annotated[str | None, setting_option("flower_port")] = None,
    health_port: Annotated[str | None, setting_option("health_port")] = None,
    log_format: Annotated[str | None, setting_option("log_format")] = None,
    flower_args: Annotated[
        list[str] | None, typer.Argument(metavar="[-- FLOWER OPTIONS]", help="Passed to Flower untouched.")
    ] = None,
) -> None:
    """Run the Flower web page in the foreground; it needs the broker and no database.

    Any address but this machine's own needs FLOWER_BASIC_AUTH.
    """
    state = state_of(context).with_options(
        flower_address=address, flower_port=port, health_port=health_port, log_format=log_format
    )
    from ibutsu_tasks.roles import flower as role

    raise typer.Exit(role.run_flower(state.settings, flower_args or []))
