"""How a worker ends: what runs is given a while to finish, the rest is back in the queue at once.

Celery's own ways to end are outside its loop, so that nothing is acknowledged and no lease is renewed
meanwhile: a warm shutdown waits for as long as a task takes, a soft one always for its whole time. Here the
loop goes on.
"""

from __future__ import annotations

import atexit
import logging
import math
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any

from celery import bootsteps, platforms, signals
from celery.concurrency.prefork import TaskPool as PreforkPool
from celery.concurrency.solo import TaskPool as SoloPool
from celery.exceptions import WorkerTerminate
from celery.worker import control
from celery.worker import state as worker_state
from redis.exceptions import RedisError

from ibutsu_tasks.delivery.held.transport import Channel
from ibutsu_tasks.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

state: Any = worker_state
panel: Any = control.Panel
logger = logging.getLogger(__name__)

celery_worker: Any = import_module("celery.apps.worker")

LOOK_SECONDS = 0.1
ASKED_SECONDS = 1.0
"""What a process of the pool is given to end by itself before it is killed."""

SPARE_SECONDS = 2.0
"""After this much more, a loop that is stuck is ended."""


stopping = threading.Event()
"""Set once this process was told to end."""


class Grace(bootsteps.StartStopStep):
    """SIGTERM, SIGQUIT and SIGHUP give running tasks the grace period, Ctrl-C all the time they take.

    A second Ctrl-C or SIGQUIT ends them now. After SIGHUP the worker starts anew, as Celery's does, unless
    another signal follows or a terminal sent it.
    """

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, consumer: Any, **options: Any) -> None:
        super().__init__(consumer, **options)
        _refuse_other_pools(consumer.pool)
        _warn_of_limits(consumer)
        self._pid = os.getpid()
        self._is_on_a_terminal = sys.stdout.isatty()
        self._consumer = consumer
        self._exit_code: int | None = None
        self._deadline = math.inf
        self._is_draining = False

    def start(self, consumer: Any) -> None:
        """Have the signals end the worker this way."""
        if consumer.hub is not None:
            consumer.hub.on_tick.add(self._on_tick)
        seconds = consumer.app.conf.ibutsu_tasks_grace_seconds
        platforms.signals["SIGTERM"] = self._handler("SIGTERM", seconds, platforms.EX_OK)
        platforms.signals["SIGQUIT"] = self._handler("SIGQUIT", seconds, platforms.EX_OK)
        # Celery's own shows the command line, secrets and all, waits for ever and forgets a SIGTERM.
        platforms.signals["SIGHUP"] = self._handler("SIGHUP", seconds, platforms.EX_OK)
        platforms.signals["SIGINT"] = self._handler("SIGINT", math.inf, platforms.EX_FAILURE)
        platforms.signals["SIGALRM"] = self._end_now
        # Celery's own leaves the loop at once: of what still runs, no lease would be renewed.
        panel.register(name="shutdown")(shut_down)

    def stop(self, consumer: Any) -> None:  # noqa: ARG002 - Celery's signature
        """End the worker if it was told to: with its connection it loses everything that ran."""
        if self._exit_code is not None:
            state.should_stop = self._exit_code

    def _handler(self, name: str, seconds: float, exit_code: int) -> Callable[..., None]:
        def handle(*_: Any) -> None:
            if os.getpid() != self._pid:
                return
            self._plan_restart(name)
            if self._exit_code is None:
                self._begin(name, seconds, exit_code)
            elif name not in {"SIGTERM", "SIGHUP"}:
                self._end_by(0)
            elif self._deadline == math.inf:
                self._end_by(seconds)

        return handle

    def _plan_restart(self, name: str) -> None:
        start_anew = celery_worker._reload_current_worker  # noqa: SLF001 - it has no other name
        if name != "SIGHUP":
            atexit.unregister(start_anew)
        elif self._exit_code is None and not self._is_on_a_terminal:
            atexit.register(start_anew)

    def _begin(self, name: str, seconds: float, exit_code: int) -> None:
        self._exit_code = exit_code
        stopping.set()
        celery_worker.safe_say("worker: Warm shutdown (MainProcess)", sys.__stdout__)
        if name == "SIGINT" and self._running():
            celery_worker.safe_say(
                "worker: Hitting Ctrl+C again will terminate all running tasks!",
                sys.__stdout__,
            )
        signals.worker_shutting_down.send(
            sender=self._consumer.hostname, sig=name, how="Warm", exitcode=exit_code
        )
        self._end_by(seconds)
        if self._consumer.hub is None or not self._running():
            state.should_stop = exit_code

    def _end_by(self, seconds: float) -> None:
        self._deadline = time.monotonic() + seconds
        if seconds < math.inf:
            # The one task of a solo pool runs in the loop, which looks at no deadline until it is over.
            is_solo = isinstance(self._consumer.pool, SoloPool)
            # Python gives its handlers up before it is gone: an alarm would kill it then.
            atexit.register(signal.setitimer, signal.ITIMER_REAL, 0)
            signal.setitimer(signal.ITIMER_REAL, max(seconds + (0 if is_solo else SPARE_SECONDS), 0.001))

    def _end_now(self, *_: Any) -> None:
        if os.getpid() == self._pid and self._running():
            raise WorkerTerminate(self._exit_code)

    def _on_tick(self) -> None:
        if self._exit_code is not None and not self._is_draining:
            self._is_draining = True
            self._consumer.hub.call_repeatedly(LOOK_SECONDS, self._look)
            try:
                self._drain()
            except RedisError as error:
                logger.warning("What was not begun comes back when the lease is over: %s", error)
            self._look()

    def _drain(self) -> None:
        """Take no message any more, and begin none of those that are held."""
        consumer = self._consumer
        consumer.on_task_request = lambda _: None
        if consumer.controller.semaphore:
            consumer.controller.semaphore.clear()
        consumer.task_consumer.cancel()
        channel = consumer.task_consumer.channel
        if isinstance(channel, Channel):
            channel.put_back_except({request.message.delivery_tag for request in self._running()})

    def _look(self) -> None:
        if not self._running():
            state.should_stop = self._exit_code
        elif time.monotonic() >= self._deadline and not state.should_terminate:
            self._end_tasks()

    def _end_tasks(self) -> None:
        logger.warning("What still runs is ended, and goes back to the queue.")
        running = self._running()
        pids = [request.worker_pid for request in running if request.worker_pid not in {None, self._pid}]
        # One that waits for the database does not see the signal that asks it to end.
        killer = threading.Timer(ASKED_SECONDS, _kill, (pids,))
        killer.daemon = True
        killer.start()
        for request in running:
            job = request._apply_result and request._apply_result()  # noqa: SLF001 - a weak reference
            if job is not None:
                # The pool would wait for ten seconds for a result of a process that it has killed.
                job._lost_worker_timeout = 0  # noqa: SLF001
        celery_worker.on_cold_shutdown(self._consumer.controller)

    @staticmethod
    def _running() -> list[Any]:
        """Give the tasks that a process of the pool has, or is about to have."""
        # Not begun and without a result to come: it waits for a process to be free.
        return [
            request
            for request in {*state.reserved_requests, *state.active_requests}
            if request in state.active_requests or request._apply_result is not None  # noqa: SLF001
        ]


def is_stopping() -> bool:
    """Say whether this worker was told to end, by whatever way; its pool may have ended before it."""
    marks = (state.should_stop, state.should_terminate)
    return stopping.is_set() or any(one is not None and one is not False for one in marks)


def _refuse_other_pools(pool: Any) -> None:
    """Refuse threads and green threads. Raises UsageError."""
    if not isinstance(pool, (PreforkPool, SoloPool)):
        raise UsageError(
            f"The pool {pool.__module__} does not work here: a process runs one task at a time, and a thread"
            " cannot be ended when its worker is.",
            "Leave --pool out for processes, or set it to solo.",
        )


def _warn_of_limits(consumer: Any) -> None:
    """Say that limits are set which Celery keeps in processes of a pool alone."""
    conf = consumer.app.conf
    if isinstance(consumer.pool, SoloPool) and (conf.task_time_limit or conf.task_soft_time_limit):
        logger.warning("The pool solo keeps no time limit: its task runs in the process that would end it.")


def shut_down(state: Any, msg: str = "Got shutdown from remote", **_: Any) -> dict[str, str]:  # noqa: ARG001
    """End the worker as SIGTERM does, by Celery's control or from Flower's page."""
    logger.warning(msg)
    os.kill(os.getpid(), signal.SIGTERM)
    return {"ok": "it ends as on SIGTERM"}


def _kill(pids: list[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
