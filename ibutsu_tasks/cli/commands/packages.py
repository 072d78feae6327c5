"""`ibutsu-tasks packages`, the task packages and what they bring: its options and one call."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ibutsu_tasks.cli.options import JsonOption, command_app
from ibutsu_tasks.cli.output.formats import plain
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


@app.command()
def new(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Name of the package, such as `gold-rates`.")],
    into: Annotated[
        Path, typer.Option("--into", metavar="DIR", help="Where its directory is made.")
    ] = Path(),
    json_wanted: JsonOption = False,
) -> Result:
    """Write a new task package that works: a task, a schedule row, a check, and a test that passes."""
    from ibutsu_tasks.packages.new import write_package

    state_of(context, json_wanted=json_wanted).choose_packages()
    written = [str(path) for path in write_package(name, into)]
    hint = f"cd {into / name} && pip install -e '.[test]' && pytest"
    return Result({"written": written}, [*map(plain, written), "", f"[bold]Try:[/] {plain(hint)}"])
