"""`ibutsu-tasks worker`, a worker: its options and one call."""

from __future__ import annotations

from typing import Annotated

import typer

from ibutsu_tasks.cli.options import command_app, setting_option
from ibutsu_tasks.cli.state import state_of

app = command_app()


@app.command()
def worker(
    context: typer.Context,
    concurrency: Annotated[str | None, setting_option("worker_concurrency", "N")] = None,
    queues: Annotated[str | None, setting_option("worker_queues", "NAMES")] = None,
    hostname: Annotated[str | None, setting_option("worker_hostname", "NAME")] = None,
    loglevel: Annotated[str | None, setting_option("log_level")] = None,
    log_format: Annotated[str | None, setting_option("log_format")] = None,
    prefetch_multiplier: Annotated[str | None, setting_option("worker_prefetch_multiplier", "N")] = None,
    max_tasks_per_child: Annotated[str | None, setting_option("worker_max_tasks_per_child", "N")] = None,
    time_limit: Annotated[str | None, setting_option("task_time_limit_seconds", "SECONDS")] = None,
    soft_time_limit: Annotated[str | None, setting_option("task_soft_time_limit_seconds", "SECONDS")] = None,
    grace: Annotated[str | None, setting_option("worker_grace_seconds", "SECONDS")] = None,
    health_port: Annotated[str | None, setting_option("health_port")] = None,
    celery_args: Annotated[
        list[str] | None, typer.Argument(metavar="[-- CELERY OPTIONS]", help="Passed to Celery untouched.")
    ] = None,
) -> None:
    """Run a worker in the foreground until a signal ends it.

    On SIGTERM running tasks are given the grace period; what does not finish goes back to the queue.
    Without --queues, the queues of all task packages are consumed. Those of Ibutsu are in any case, unless
    it is left out, because an Ibutsu API server publishes to `celery` only.
    """
    state = state_of(context).with_options(
        worker_concurrency=concurrency,
        worker_queues=queues,
        worker_hostname=hostname,
        log_level=loglevel,
        log_format=log_format,
        worker_prefetch_multiplier=prefetch_multiplier,
        worker_max_tasks_per_child=max_tasks_per_child,
        task_time_limit_seconds=time_limit,
        task_soft_time_limit_seconds=soft_time_limit,
        worker_grace_seconds=grace,
        health_port=health_port,
    )
    from ibutsu_tasks.roles import start

    raise typer.Exit(start.run_worker(state.settings, celery_args or []))
