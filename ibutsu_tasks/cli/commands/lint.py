"""`ibutsu-tasks lint`, what an import would store: its options and one call."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ibutsu_tasks.cli.options import JsonOption, command_app
from ibutsu_tasks.cli.output.result import Result
from ibutsu_tasks.cli.state import state_of

app = command_app()


@app.command()
def lint(
    context: typer.Context,
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILES...",
            help="JUnit XML files, archives of pytest-ibutsu, and formats of task packages.",
        ),
    ],
    json_wanted: JsonOption = False,
) -> Result:
    """Show what an import of the files would store and where, without importing; no service is needed.

    Says which tool wrote a file, what is not standard in it and at which line. Exit code 1 when a file
    would not import.
    """
    state = state_of(context, json_wanted=json_wanted)
    from ibutsu_tasks.cli.lint import lint_files

    return lint_files(state.output, state.settings, files)
