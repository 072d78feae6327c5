"""What the worker's own process could not do, broker or database being away: done when it can be."""

from __future__ import annotations

import logging
import threading
from collections import deque
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from celery import signals

from ibutsu_tasks.resources import Resources
from ibutsu_tasks.tasks.base import DatabaseCelery
from ibutsu_tasks.temporary_errors import is_temporary

if TYPE_CHECKING:
    from collections.abc import Callable


logger = logging.getLogger(__name__)

PAUSE_SECONDS = 5.0
GOODBYE_SECONDS = 2.0

later: deque[Callable[[Resources], object]] = deque()
"""What is to be done once, in this order."""

rounds: list[Callable[[Resources], object]] = []
"""What is done in each round, such as writing down what any worker has kept in Redis."""


class Writer(threading.Thread):
    """Does it, in the worker's own process, on connections of its own."""

    def __init__(self, of_worker: Resources) -> None:
        super().__init__(name="later", daemon=True)
        self._resources = Resources(of_worker.settings, "worker")
        # All that the thread uses, of the worker's to tell who follows a task, is made before it begins: a
        # process forked while it is made would wait for ever for the locks of `cached_property` (Python 3.11)
        # and of imports.
        _ = self._resources.redis, self._resources.engine, of_worker.brief_redis
        self._called = threading.Event()
        self._is_over = False
        self._complaints: WeakKeyDictionary[Callable[[Resources], object], str] = WeakKeyDictionary()

    def run(self) -> None:
        """Look every few seconds and when called, and once more at the end; what fails is tried again."""
        is_over = False
        while not is_over:
            self._called.wait(PAUSE_SECONDS)
            self._called.clear()
            is_over = self._is_over
            while later and self._try(later[0]):
                later.popleft()
            for one in rounds:
                self._try(one)
        self._resources.close()

    def _try(self, action: Callable[[Resources], object]) -> bool:
        """Do it; say whether it is over, which what a second try may cure is not."""
        try:
            action(self._resources)
        except Exception as error:  # noqa: BLE001 - told below
            if is_temporary(error):
                return False
            self._complain(action, error)
        else:
            self._complaints.pop(action, None)
        return True

    def _complain(self, action: Callable[[Resources], object], error: Exception) -> None:
        """Say what a second try will not cure, once: a round comes to it every few seconds."""
        if self._complaints.get(action) != str(error):
            logger.error("what was kept could not be written", exc_info=error)
        self._complaints[action] = str(error)

    def call(self) -> None:
        """Have it look now."""
        self._called.set()

    def stop(self) -> None:
        """End the thread, unless a service keeps it waiting."""
        self._is_over = True
        self.call()
        self.join(GOODBYE_SECONDS)


_writers: list[Writer] = []


def look_now() -> None:
    """Have what is to be done be done now, not seconds from now."""
    for writer in _writers:
        writer.call()


@signals.worker_ready.connect(dispatch_uid="ibutsu-tasks-later")
def _start(sender: Any, **_: Any) -> None:
    if isinstance(sender.app, DatabaseCelery) and not _writers:
        _writers.append(Writer(sender.app.resources))
        _writers[0].start()


@signals.worker_shutdown.connect(dispatch_uid="ibutsu-tasks-later")
def _stop(**_: Any) -> None:
    while _writers:
        _writers.pop().stop()
