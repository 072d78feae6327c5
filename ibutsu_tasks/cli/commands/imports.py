"""`ibutsu-tasks imports`, uploads that have not ended: its options and one call."""

from __future__ import annotations

from typing import Annotated

import typer

from ibutsu_tasks.cli.options import JsonOption, command_app
from ibutsu_tasks.cli.output.result import Result
from ibutsu_tasks.cli.state import state_of
from ibutsu_tasks.errors import UsageError

app = command_app(no_args_is_help=True)


@app.callback()
def imports() -> None:
    """Find imports that are lost, and send them again; `ibutsu-tasks import` sends new files."""


@app.command()
def requeue(
    context: typer.Context,
    import_ids: Annotated[
        list[str] | None, typer.Argument(metavar="[ID]...", help="Imports, also those that ended in error.")
    ] = None,
    stuck: Annotated[
        bool,
        typer.Option("--stuck", help="All that are older than IBUTSU_TASKS_IMPORT_STUCK_SECONDS and lost."),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and stop.")] = False,
    json_wanted: JsonOption = False,
) -> Result:
    """Send imports again that neither wait in a queue nor are with a worker, and say of each what was done.

    One whose content is gone ends as error. What may be alive is left alone: with an unanswering worker
    about, that is everything. Exit code 1 when an import that was named is not sent.
    """
    state = state_of(context, json_wanted=json_wanted)
    if bool(import_ids) == stuck:
        raise UsageError("Name the IDs of imports, or give --stuck; one of the two.")
    from ibutsu_tasks.cli.imports import requeueing
    from ibutsu_tasks.cli.imports.session import parse_ids

    return requeueing.requeue(state, parse_ids(import_ids or (), "imports requeue"), dry_run=dry_run)
