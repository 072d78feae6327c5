"""What a client has in its process: applications, made on first use, and what it knows of the broker.

Read from Celery 5.7: its pool of producers is one for the process, whose limit each application sets for all.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Any

from kombu.pools import ProducerPool

from ibutsu_tasks.celery_app import create_client_app
from ibutsu_tasks.sending.background import Background
from ibutsu_tasks.sending.messages import ResultReader

if TYPE_CHECKING:
    from celery import Celery

    from ibutsu_tasks.errors import BrokerUnreachableError
    from ibutsu_tasks.sending.background import Call
    from ibutsu_tasks.settings import Settings

logger = logging.getLogger(__name__)

MOST_CONNECTIONS = 10
"""A thread that sends while all are taken waits for one."""

SHARE_OF_TIME = 10
"""While the broker is away, looking for it takes at most one part in so many of a sender's time."""


class Connections:
    """The application that sends, the reader of results and the thread of tasks that run here."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.RLock()
        self._app: Celery | None = None
        self._producers: Any = None
        self._results: ResultReader | None = None
        self._background: Background | None = None

    def app(self) -> Celery:
        """Give what sends. Raises SettingsError when no broker is named."""
        with self._lock:
            if self._app is None:
                app: Any = create_client_app(self._settings, set_as_current=False)
                # Of its own: another Celery of this process keeps its limit, and a fork takes nothing along.
                pool = app.connection_for_write().Pool(limit=MOST_CONNECTIONS)
                self._producers = ProducerPool(pool, limit=MOST_CONNECTIONS)
                app.amqp._producer_pool = self._producers  # noqa: SLF001
                self._app = app
            return self._app

    def results(self) -> ResultReader:
        """Give what reads results. Raises as `app`."""
        with self._lock:
            if self._results is None:
                self._results = ResultReader(self.app(), self._settings.backend_url or "")
            return self._results

    def background(self) -> Background:
        """Give what runs tasks here. Raises SettingsError when no database is named."""
        with self._lock:
            if self._background is None:
                self._background = Background(self._settings)
            return self._background

    def call(self, task_id: str) -> Call | None:
        """Give a task that runs here, or did."""
        with self._lock:
            return self._background.find(task_id) if self._background else None

    def close(self, wait_seconds: float) -> None:
        """Wait so long for tasks that run here, and close all connections; use makes new ones."""
        with self._lock:
            background, self._background = self._background, None
            app, self._app = self._app, None
            producers, self._producers = self._producers, None
            results, self._results = self._results, None
        if background:
            background.finish(wait_seconds)
        if results:
            results.close()
        if app:
            producers.force_close_all()
            producers.connections.force_close_all()
            app.close()


class BrokerOutage:
    """Whether the broker is away, told once when it goes and once when it is back."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._error: BrokerUnreachableError | None = None
        self._look_again = 0.0

    def known(self) -> BrokerUnreachableError | None:
        """Give the error of an outage found a moment ago; None when the broker is to be tried."""
        with self._lock:
            return self._error if time.monotonic() < self._look_again else None

    def note(self, error: BrokerUnreachableError, took_seconds: float) -> None:
        """Take down that it is away, which took so long to find."""
        with self._lock:
            is_news, self._error = self._error is None, error
            self._look_again = time.monotonic() + took_seconds * SHARE_OF_TIME
        if is_news:
            logger.warning("%s Tasks run in this process until that is over, and end with it.", error)

    def end(self) -> None:
        """Take down that it works."""
        with self._lock:
            was_away, self._error = self._error is not None, None
            self._look_again = 0.0
        if was_away:
            logger.warning("The broker is back: tasks are sent to it again.")
