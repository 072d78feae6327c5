"""The pulse of a worker: where its loop and its wait for the broker tell that they turn.

Read from Celery 5.7: a loop of events, whose timers do not run while the worker waits for the broker; there
`celery.worker.consumer.consumer` calls its `maybe_shutdown` once a second.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celery import bootsteps
from celery.concurrency.solo import TaskPool as SoloPool
from celery.worker import state
from celery.worker.consumer import consumer as consumer_module

from ibutsu_tasks.delivery.report import consumed_queues
from ibutsu_tasks.health import control
from ibutsu_tasks.health.pulse import TICK_SECONDS, Pulse, Signs
from ibutsu_tasks.health.watchdog import Watchdog, is_ending

if TYPE_CHECKING:
    from celery import Celery


class WorkerPulse(bootsteps.StartStopStep):
    """Gives a worker its pulse and its watchdog."""

    requires = ("celery.worker.components:Timer", "celery.worker.components:Pool")

    def __init__(self, worker: Any, **options: Any) -> None:
        super().__init__(worker, **options)
        self.pulse = Pulse.of_process("worker", worker.app.resources.settings)
        self.pulse.node = worker.hostname

    def start(self, worker: Any) -> None:
        """Begin once the pool is there, and before the worker turns to the broker."""
        self.pulse.signs = lambda: signs_of(worker)
        self.pulse.look = Watchdog(worker).look
        worker.timer.call_repeatedly(TICK_SECONDS, self.pulse.tick)
        ask = state.maybe_shutdown

        def tick_and_ask() -> None:
            self.pulse.tick()
            ask()

        vars(consumer_module)["maybe_shutdown"] = tick_and_ask


def signs_of(worker: Any) -> Signs:
    """Tell how a worker fares."""
    consumer = worker.consumer
    is_connected = bool(consumer and consumer.connection and consumer.connection.connected)
    queues = tuple(consumed_queues(consumer)) if is_connected else ()
    busy, hindrance = "", ""
    if is_ending(worker):
        busy = hindrance = "it is ending"
    elif not is_connected:
        hindrance = "it has no connection to the broker"
    elif not queues:
        hindrance = "it consumes no queue"
    if not busy and isinstance(worker.pool, SoloPool) and state.active_requests:
        busy = "a task runs in its only thread"
    running = len(state.active_requests)
    held = max(len(state.reserved_requests) - running, 0)
    return Signs(hindrance, busy, is_connected, queues, running, held)


def install(app: Celery) -> None:
    """Have every worker of this application a pulse, and tell of it when asked."""
    control.install()
    app.steps["worker"].add(WorkerPulse)
