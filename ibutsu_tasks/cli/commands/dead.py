"""`ibutsu-tasks dead`, the messages that no worker could carry out: options and one call each."""

from __future__ import annotations

from typing import Annotated

import typer

from ibutsu_tasks.cli.options import JsonOption, YesOption, command_app
from ibutsu_tasks.cli.output.result import Result
from ibutsu_tasks.cli.state import state_of

app = command_app(no_args_is_help=True)

IdArgument = Annotated[
    str, typer.Argument(metavar="ID", help="Its id in the list, or the beginning of it.", show_default=False)
]
IdsArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="[ID]...", help="Ids in the list, or the beginnings of them.", show_default=False),
]
AllOption = Annotated[bool, typer.Option("--all", help="All of them.")]


@app.callback()
def dead() -> None:
    """Look after messages that were set aside: they killed their process three times, or are no task."""


@app.command("list")
def list_(context: typer.Context, json_wanted: JsonOption = False) -> Result:
    """List the messages that were set aside, newest first."""
    from ibutsu_tasks.cli.dead import session

    return session.show_all(state_of(context, json_wanted=json_wanted))


@app.command()
def show(context: typer.Context, identifier: IdArgument, json_wanted: JsonOption = False) -> Result:
    """Show everything that is known of one message, without its secrets."""
    from ibutsu_tasks.cli.dead import session

    return session.show(state_of(context, json_wanted=json_wanted), identifier)


@app.command()
def retry(
    context: typer.Context,
    identifiers: IdsArgument = None,
    every: AllOption = False,
    json_wanted: JsonOption = False,
) -> Result:
    """Send messages again; what they lost counts no more, and an import that failed is pending again.

    Exit code 1 when one of them cannot be sent: the sentence says why, and it stays where it is.
    """
    from ibutsu_tasks.cli.dead import session

    return session.retry(state_of(context, json_wanted=json_wanted), identifiers or (), every=every)


@app.command()
def drop(
    context: typer.Context,
    identifiers: IdsArgument = None,
    every: AllOption = False,
    yes: YesOption = False,
    json_wanted: JsonOption = False,
) -> Result:
    """Throw messages away for good, after asking."""
    from ibutsu_tasks.cli.dead import session

    state = state_of(context, json_wanted=json_wanted)
    return session.drop(state, identifiers or (), every=every, yes=yes)
