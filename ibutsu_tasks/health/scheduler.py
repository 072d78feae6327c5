"""The pulse of beat: its scheduler's ticks, and each try to reach a broker that is away.

Read from Celery 5.7: `Service.start` calls `scheduler.tick` for ever, and a scheduler that has something to
send waits in `connection.ensure_connection` for as long as the broker is away.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from celery import signals

from ibutsu_tasks.health.pulse import Pulse, Signs

if TYPE_CHECKING:
    from ibutsu_tasks.settings import Settings


def install(settings: Settings) -> None:
    """Have every beat of this process a pulse."""
    receiver = partial(_begin, settings=settings)
    signals.beat_init.connect(receiver, weak=False, dispatch_uid="ibutsu-tasks-beat-pulse")


def _begin(sender: Any, settings: Settings, **_: Any) -> None:
    pulse, scheduler = Pulse.of_process("beat", settings), sender.scheduler
    tick, ensure = scheduler.tick, scheduler.connection.ensure_connection

    def tick_and_tell(*args: Any, **options: Any) -> float:
        pause: float = tick(*args, **options)
        # It has looked at its schedule: it leads, or knows that another does.
        pulse.signs = Signs
        pulse.tick()
        return pause

    scheduler.tick = tick_and_tell
    scheduler.connection.ensure_connection = partial(ensure, callback=pulse.tick)
