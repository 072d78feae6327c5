"""`ibutsu-tasks enqueue`, one task: its options and one call."""

from __future__ import annotations

from typing import Annotated

import typer

from ibutsu_tasks.cli.options import JsonOption, check_name, command_app, seconds_option
from ibutsu_tasks.cli.output.result import Result
from ibutsu_tasks.cli.state import state_of
from ibutsu_tasks.errors import UsageError

app = command_app()


def _complete_task(incomplete: str) -> list[str]:
    from ibutsu_tasks.sending.arguments import task_names
    from ibutsu_tasks.settings import read_settings

    read_settings()
    return [
        name for name in (full.rpartition(".")[2] for full in task_names()) if name.startswith(incomplete)
    ]


@app.command()
def enqueue(
    context: typer.Context,
    task: Annotated[
        str | None,
        typer.Argument(
            metavar="[TASK]",
            help="Short or full name; without one, all tasks are listed.",
            autocompletion=_complete_task,
        ),
    ] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME=VALUE]...", help="Arguments; a value is JSON where it is not text."),
    ] = None,
    args: Annotated[
        str | None,
        typer.Option(
            "--args",
            metavar="JSON|@FILE|-",
            help="All arguments as a JSON array or object: given here, in a file, or on stdin.",
        ),
    ] = None,
    countdown: Annotated[float | None, seconds_option("--countdown", "Run it that much later.")] = None,
    queue: Annotated[
        str | None, typer.Option("--queue", "-Q", help="Queue to send it to.", show_default="of its route")
    ] = None,
    wait: Annotated[
        float | None,
        seconds_option("--wait", "Wait for the result and write it.", minimum=0.1),
    ] = None,
    local: Annotated[
        bool, typer.Option("--local", help="Run it right here, without broker or worker.")
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show the traceback of a failed task.")
    ] = False,
    json_wanted: JsonOption = False,
) -> Result:
    """Send one task and write its id to stdout; with --wait or --local its result.

    Name and arguments are checked before anything is sent. Exit code 1 when the task failed, 124 when
    --wait was too short.
    """
    state = state_of(context, json_wanted=json_wanted)
    if local and not (countdown is None and queue is None and wait is None):
        raise UsageError("--local goes with none of --countdown, --queue and --wait.")
    if queue is not None:
        check_name("--queue", queue)
    state.choose_packages()
    from ibutsu_tasks.cli.enqueue import list_all_tasks, read_call, run_here, send_call

    if task is None:
        return list_all_tasks()
    call = read_call(task, assignments or (), args)
    if local:
        return run_here(state.settings, call, verbose=verbose)
    return send_call(
        state.output,
        state.settings,
        call,
        wait_seconds=wait,
        verbose=verbose,
        queue=queue,
        countdown=countdown,
    )
