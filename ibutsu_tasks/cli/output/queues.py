"""Saying that nobody consumes a queue, when a command waits for what it sent there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ibutsu_tasks.cli.output.formats import plain
from ibutsu_tasks.errors import ServiceUnreachableError
from ibutsu_tasks.sending.messages import consumed_queues

if TYPE_CHECKING:
    from celery import Celery

    from ibutsu_tasks.cli.output import Output

DOUBT_SECONDS = 3.0
"""After this long without any sign of work, the workers are asked whether there are any."""


def warn_if_unread(output: Output, app: Celery, queue: str, *, needs_worker: bool = True) -> None:
    """Warn when no worker that answers consumes `queue`, and when none answers that `needs_worker`."""
    try:
        queues = consumed_queues(app)
    except ServiceUnreachableError:
        # That the broker went away since it took the message is not what was asked for.
        return
    if queues and queue not in queues:
        names = ", ".join(sorted(queues))
        output.say(f"[yellow]No worker that answers consumes {plain(queue)};[/] they consume {plain(names)}.")
    elif not queues and needs_worker:
        output.say("[yellow]No worker answers.[/] Start one with `ibutsu-tasks worker`.")
