"""`ibutsu-tasks up`, the whole system in one terminal: its options and one call."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ibutsu_tasks.cli.exit_codes import ExitCode
from ibutsu_tasks.cli.options import YesOption, command_app, setting_option
from ibutsu_tasks.cli.output.result import Result
from ibutsu_tasks.cli.state import state_of
from ibutsu_tasks.errors import UsageError

app = command_app()


@app.command()
def up(
    context: typer.Context,
    files: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[FILES]...", help="With --once: JUnit XML files and archives to import."),
    ] = None,
    once: Annotated[
        bool, typer.Option("--once", help="Import FILES, show the runs made, then stop.")
    ] = False,
    data_dir: Annotated[str | None, setting_option("data_dir")] = None,
    reset: Annotated[bool, typer.Option("--reset", help="Start with empty data; asks first.")] = False,
    yes: YesOption = False,
    concurrency: Annotated[str | None, setting_option("worker_concurrency")] = None,
    no_flower: Annotated[bool, typer.Option("--no-flower", help="Leave Flower out.")] = False,
    flower_port: Annotated[
        int | None,
        typer.Option(
            metavar="PORT", min=1, max=65535, help="Port of Flower.", show_default="first free one from 5555"
        ),
    ] = None,
    loglevel: Annotated[str | None, setting_option("log_level")] = None,
    log_format: Annotated[str | None, setting_option("log_format")] = None,
) -> Result:
    """Run the whole system here: PostgreSQL, Valkey, worker, beat and Flower, until Ctrl-C.

    Other commands find it without any variable. The data stay where they are for the next time.
    """
    if bool(files) != once:
        raise UsageError("--once needs FILES to import." if once else "FILES are imported with --once only.")
    state = state_of(context).with_options(
        data_dir=data_dir, worker_concurrency=concurrency, log_level=loglevel, log_format=log_format
    )
    if files:
        from ibutsu_tasks.cli.imports.files import result_of
        from ibutsu_tasks.cli.imports.session import refuse_unreadable

        refused = refuse_unreadable(files)
        if len(refused) == len(files):
            return result_of(refused, ExitCode.BAD_NEWS)
    from ibutsu_tasks.local.servers.binaries import find_programs
    from ibutsu_tasks.settings import load_settings

    find_programs()
    # Not state.settings: that looks for a stack to use, and this is the one.
    settings = load_settings(state.options, env_file=state.env_file)
    from ibutsu_tasks.cli.up import session as stack_session
    from ibutsu_tasks.local.readiness import choose_flower_port
    from ibutsu_tasks.local.servers import shared

    if reset:
        if not (files or no_flower):
            choose_flower_port(flower_port)
        question = f"Delete all data in {settings.data_dir}?"
        if not state.confirm(question, yes=yes, instead="leave out --reset"):
            return Result(messages=["Nothing was deleted."], exit_code=ExitCode.BAD_NEWS)
        shared.reset(settings.data_dir)
    if files:
        return stack_session.import_once(state, settings, files)
    return stack_session.stay_up(state, settings, has_flower=not no_flower, flower_port=flower_port)
