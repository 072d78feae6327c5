"""What could not be written of imports that ended: kept in the broker's Redis, and written when it can be."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING
from uuid import UUID

from ibutsu_tasks.broker.layout import UNWRITTEN
from ibutsu_tasks.ibutsu.operations.imports import records
from ibutsu_tasks.tasks.later import later, rounds
from ibutsu_tasks.tasks.outages import DATABASE, outages
from ibutsu_tasks.temporary_errors import is_temporary

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ibutsu_tasks.resources import Resources
    from ibutsu_tasks.tasks.base import DatabaseTask

logger = logging.getLogger(__name__)


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
            later.append(lambda _: keep())


class _Keeping:
    """Keeps one sentence in Redis."""

    def __init__(self, resources: Resources, import_id: UUID, sentence: str) -> None:
        self._resources, self._import_id, self._sentence = resources, import_id, sentence

    def __call__(self) -> None:
        self._resources.redis.hset(UNWRITTEN, str(self._import_id), self._sentence)


def write_all(resources: Resources) -> None:
    """Write every sentence that is kept. Raises what Redis and the database raise."""
    kept: dict[bytes, bytes] = resources.redis.hgetall(UNWRITTEN)  # type: ignore[assignment]
    for key, sentence in kept.items():
        try:
            import_id = UUID(key.decode())
        except ValueError:
            resources.redis.hdel(UNWRITTEN, key)
            logger.warning(
                "%r in %s is the id of no import; removed: %r", key[:100], UNWRITTEN, sentence[:200]
            )
            continue
        with resources.session() as session:
            records.mark_failed(session, import_id, sentence.decode(errors="replace"))
        outages.end(DATABASE)
        resources.redis.hdel(UNWRITTEN, key)
        logger.info("import %s is marked failed, which could not be written before", import_id)


rounds.append(write_all)
