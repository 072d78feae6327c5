"""A task with the name of one that a package declares, as an Ibutsu server's own application has them."""

from __future__ import annotations

from celery import shared_task


@shared_task(name="ibutsu_server.tasks.runs.update_run")
def update_run(run_id: str) -> str:
    raise AssertionError(f"the package's own task has to run for {run_id}")
