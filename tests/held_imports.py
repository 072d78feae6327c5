"""Stopping imports in the middle, by a lock of the database."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from sqlalchemy import text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Engine


@contextmanager
def held_artifacts(engine: Engine) -> Iterator[Callable[[], bool]]:
    """Stop every import between its results and its artifacts; yield whether one has come that far."""
    with engine.connect() as holder, engine.connect() as watcher:
        holder.execute(text("lock table artifacts in exclusive mode"))
        waiting = text("select 1 from pg_locks where relation = 'artifacts'::regclass and not granted")

        def is_waiting() -> bool:
            found = watcher.scalar(waiting) is not None
            watcher.rollback()
            return found

        yield is_waiting
        holder.rollback()
