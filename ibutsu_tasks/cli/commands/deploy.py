"""`ibutsu-tasks deploy`, the acceptance run of a live system: its options and one call."""

from __future__ import annotations

from typing import Annotated

import typer

from ibutsu_tasks.cli.options import JsonOption, command_app, seconds_option, setting_option
from ibutsu_tasks.cli.output.result import Result
from ibutsu_tasks.cli.state import state_of

app = command_app(no_args_is_help=True)


@app.callback()
def deploy() -> None:
    """Say whether a system that was deployed is as it should be."""


@app.command()
def check(
    context: typer.Context,
    workers: Annotated[int, typer.Option(min=1, help="How many workers have to be online.", metavar="N")] = 1,
    standbys: Annotated[
        int,
        typer.Option(min=0, help="How many beats have to stand by beside the one that leads.", metavar="N"),
    ] = 0,
    wait: Annotated[
        float,
        seconds_option(
            "--wait",
            "What workers and beats are given to appear, tasks to come back, a worker to be replaced.",
            show_default="10",
        ),
    ] = 10.0,
    queues: Annotated[str | None, setting_option("worker_queues", "NAMES")] = None,
    concurrency: Annotated[str | None, setting_option("worker_concurrency", "N")] = None,
    grace: Annotated[str | None, setting_option("worker_grace_seconds", "SECONDS")] = None,
    probe: Annotated[
        list[str] | None,
        typer.Option(
            help="A health port to be asked besides, as http://HOST:PORT or with one of its pages.",
            metavar="URL",
        ),
    ] = None,
    failover: Annotated[
        bool,
        typer.Option(
            "--failover", help="Ask one worker to stop: its work has to go on, and another to appear."
        ),
    ] = False,
    json_wanted: JsonOption = False,
) -> Result:
    """Look at workers, beat, schedule, probes, limits and queues, and send a harmless task through each.

    Ten lines, each with what mends it; from any host that reaches the broker. Limits are compared with those
    that are set here, and among the workers. Ends with 1 when a line is bad, 4 when the broker cannot be
    reached; without --failover within 30 seconds, unless --wait is longer.
    """
    from ibutsu_tasks.cli import deploy as view

    state = state_of(context, json_wanted=json_wanted).with_options(
        worker_queues=queues, worker_concurrency=concurrency, worker_grace_seconds=grace
    )
    return view.check(
        state,
        workers=workers,
        standbys=standbys,
        wait_seconds=wait,
        probe_urls=probe or (),
        failover=failover,
    )
