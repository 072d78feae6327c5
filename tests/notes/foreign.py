"""What an Ibutsu server's own application brings along: a task with the name of one that a package declares.

And a handler that tries again whatever fails.
"""

from __future__ import annotations

from typing import Any

from celery import shared_task, signals


@shared_task(name="ibutsu_server.tasks.runs.update_run")
def update_run(run_id: str) -> str:
    raise AssertionError(f"the package's own task has to run for {run_id}")


@signals.task_failure.connect
def try_again(sender: Any, **_: Any) -> None:
    sender.retry(countdown=60)
