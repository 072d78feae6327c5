"""The line about the queues: each that is configured is consumed by somebody."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ibutsu_tasks.doctor.report import Finding, finding, variable_of
from ibutsu_tasks.packages import loaded
from ibutsu_tasks.text.words import counted

if TYPE_CHECKING:
    from ibutsu_tasks.deployment.fleet import Fleet
    from ibutsu_tasks.settings import Settings


def check_queues(settings: Settings, fleet: Fleet) -> Finding:
    """Count the consumers of each queue."""
    wanted = settings.consumed_queues
    consumers = {queue: len(fleet.consumers(queue)) for queue in wanted}
    if missing := [queue for queue, number in consumers.items() if not number]:
        named = [queue for queue in missing if queue not in loaded().always_consumed]
        options = f" --queues {','.join(named)}" if named else ""
        correct = f", or correct {variable_of(settings, 'worker_queues')}" if named else ""
        seen = f"Nobody consumes {', '.join(missing)}."
        return finding("IBT-A61", seen, f"Start `ibutsu-tasks worker{options}`{correct}.")
    more = sorted(frozenset().union(*(worker.queues for worker in fleet.workers)) - set(wanted))
    counts = ", ".join(f"{queue} by {counted(number, 'worker')}" for queue, number in consumers.items())
    others = f"; besides: {', '.join(more)}" if more else ""
    return finding("IBT-A60", f"Consumed: {counts}{others}.")
