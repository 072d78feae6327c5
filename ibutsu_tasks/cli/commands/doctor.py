"""`ibutsu-tasks doctor`, the checks of every service: its options and one call."""

from __future__ import annotations

from typing import Annotated

import typer

from ibutsu_tasks.cli.options import JsonOption, command_app
from ibutsu_tasks.cli.output.findings import show_report
from ibutsu_tasks.cli.output.result import Result
from ibutsu_tasks.cli.state import state_of
from ibutsu_tasks.errors import SettingsError

app = command_app()


def _complete_check(incomplete: str) -> list[str]:
    from ibutsu_tasks.doctor import names
    from ibutsu_tasks.settings import read_settings

    read_settings()
    before, comma, last = incomplete.rpartition(",")
    return [f"{before}{comma}{name}" for name in names() if name.startswith(last)]


@app.command()
def doctor(
    context: typer.Context,
    only: Annotated[
        list[str] | None,
        typer.Option(
            help="Run these checks alone: settings, packages, broker, backend, database, workers, held,"
            " beat, flower, prunes, imports, and those of task packages.",
            metavar="CHECK[,CHECK]",
            autocompletion=_complete_check,
        ),
    ] = None,
    json_wanted: JsonOption = False,
) -> Result:
    """Check settings, task packages, broker, database, workers, beat, prunes, imports and Flower.

    Each finding says how to fix it. Ends within 10 seconds whatever the network does, with 1 when
    something is wrong, 3 when settings are missing, 4 when a service cannot be reached.
    """
    from ibutsu_tasks.doctor import choose, examine
    from ibutsu_tasks.doctor.checks.settings import unusable_settings
    from ibutsu_tasks.doctor.report import Report

    state = state_of(context, json_wanted=json_wanted)
    try:
        # The settings say which task packages there are.
        settings = state.readable_settings
        report = examine(settings, choose(only or ()))
    except SettingsError as error:
        report = Report((unusable_settings(error),), 0.0)
    return show_report(report)
