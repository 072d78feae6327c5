"""What could not be written of imports that ended: kept in the broker's Redis, and written when it can be."""

from __future__ import annotations

import logging
import threading
from collections import deque
from typing import TYPE_CHECKING, Any
from uuid import UUID

from celery import signals

from ibutsu_tasks.broker.layout import UNWRITTEN
from ibutsu_tasks.operations.imports import records
from ibutsu_tasks.resources import Resources
from ibutsu_tasks.tasks.base import DatabaseCelery, DatabaseTask
from ibutsu_tasks.tasks.outages import DATABASE, outages
from ibutsu_tasks.temporary_errors import is_temporary

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ibutsu_tasks.settings import Settings

logger = logging.getLogger(__name__)

PAUSE_SECONDS = 5.0
GOODBYE_SECONDS = 2.0

later: deque[Callable[[], object]] = deque()
"""What the worker's own process could do nowhere, while broker and database are both away."""


def write_or_keep(task: DatabaseTask, import_id: UUID, sentence: str, warnings: Sequence[str] = ()) -> None:
    """Mark an import failed; while the database is away, keep that to be written by any worker.

    The warnings of its file are not kept.

    What Redis does not take either is kept by this process, whose message is not acknowledged meanwhile.
    """
    try:
        with task.session() as session:
            records.mark_failed(session, import_id, sentence, warnings)
    except Exception as error:
        if not is_temporary(error):
            raise
        outages.note(DATABASE, error)
        keep = _Keeping(task.resources, import_id, sentence)
        try:
            keep()
        except Exception as second_error:
            if not is_temporary(second_error):
                raise
            later.append(keep)


class _Keeping:
    """Keeps one sentence in Redis."""

    def __init__(self, resources: Resources, import_id: UUID, sentence: str) -> None:
        self._resources, self._import_id, self._sentence = resources, import_id, sentence

    def __call__(self) -> None:
        self._resources.redis.hset(UNWRITTEN, str(self._import_id), self._sentence)


class Writer(threading.Thread):
    """Writes what was kept, in the worker's own process, on connections of its own."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(name="unwritten", daemon=True)
        self._resources = Resources(settings, "worker")
        self._over = threading.Event()

    def run(self) -> None:
        """Look again and again until `stop`; what fails is tried again."""
        while not self._over.wait(PAUSE_SECONDS):
            try:
                write_all(self._resources)
                while later:
                    later[0]()
                    later.popleft()
            except Exception as error:  # noqa: BLE001 - whatever it is, the next round may do better
                if not is_temporary(error):
                    logger.warning("what was kept could not be written: %s", error)
        self._resources.close()

    def stop(self) -> None:
        """End the thread, unless a service keeps it waiting."""
        self._over.set()
        self.join(GOODBYE_SECONDS)


def write_all(resources: Resources) -> None:
    """Write every sentence that is kept. Raises what Redis and the database raise."""
    kept: dict[bytes, bytes] = resources.redis.hgetall(UNWRITTEN)  # type: ignore[assignment]
    for import_id, sentence in kept.items():
        with resources.session() as session:
            records.mark_failed(session, UUID(import_id.decode()), sentence.decode())
        outages.end(DATABASE)
        resources.redis.hdel(UNWRITTEN, import_id.decode())
        logger.info("import %s is marked failed, which could not be written before", import_id.decode())


_writers: list[Writer] = []


@signals.worker_ready.connect(dispatch_uid="ibutsu-tasks-unwritten")
def _start(sender: Any, **_: Any) -> None:
    if isinstance(sender.app, DatabaseCelery) and not _writers:
        _writers.append(Writer(sender.app.resources.settings))
        _writers[0].start()


@signals.worker_shutdown.connect(dispatch_uid="ibutsu-tasks-unwritten")
def _stop(**_: Any) -> None:
    while _writers:
        _writers.pop().stop()
