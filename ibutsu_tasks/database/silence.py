"""Notices that a server has fallen silent in the middle of a statement, for which the driver waits for ever.

What takes long is no silence: a second connection is opened, and whatever comes of it is an answer. TCP alone
sees only hosts that are gone, no server that is frozen and no proxy that hangs.

A pooler answers in the place of a server that is frozen. To ask it for a query would not tell: where all of
its connections are busy, that waits too, for minutes, and long statements would be cut for nothing.
"""

from __future__ import annotations

import os
import select
import socket
import threading
import time
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any

import psycopg2
from psycopg2 import extensions

if TYPE_CHECKING:
    from collections.abc import Callable

LOOK_SECONDS = 5.0
PATIENCE_SECONDS = 10.0
"""A statement, or a step of COPY, that takes longer is no reason to worry, but one to ask."""

ANSWER_SECONDS = 20.0
"""A server so busy that nobody can log in for longer is as good as none."""


@dataclass(eq=False, slots=True)
class _Call:
    """A call of the driver that waits for the server."""

    connection: WatchedConnection
    asked_at: float
    is_given_up: bool = False


_underway: dict[int, _Call] = {}
"""By the identity of the connection. Only single steps of a dict, so that no lock is needed."""

os.register_at_fork(after_in_child=_underway.clear)


def _watched(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def watched(self: Any, *args: Any, **kwargs: Any) -> Any:
        connection = getattr(self, "connection", self)
        call = _underway[id(connection)] = _Call(connection, time.monotonic())
        try:
            return method(self, *args, **kwargs)
        except psycopg2.Error as error:
            if call.is_given_up:
                raise psycopg2.OperationalError(
                    "the server fell silent in the middle of a statement, and took no new connection"
                    f" within {ANSWER_SECONDS:.0f} s"
                ) from error
            raise
        finally:
            _underway.pop(id(connection), None)

    return watched


class _WatchedCursor(extensions.cursor):
    execute = _watched(extensions.cursor.execute)
    executemany = _watched(extensions.cursor.executemany)
    copy_expert = _watched(extensions.cursor.copy_expert)
    # These ask the server when the cursor has a name.
    fetchone = _watched(extensions.cursor.fetchone)
    fetchmany = _watched(extensions.cursor.fetchmany)
    fetchall = _watched(extensions.cursor.fetchall)
    close = _watched(extensions.cursor.close)


class WatchedConnection(extensions.connection):
    """A connection of psycopg2 whose every wait ends: with OperationalError when the server is silent."""

    def __init__(self, dsn: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(dsn, *args, **kwargs)
        self._own_dsn = dsn  # `self.dsn` lacks the password
        self.cursor_factory = _WatchedCursor
        _watch()

    commit = _watched(extensions.connection.commit)
    rollback = _watched(extensions.connection.rollback)

    def server_answers(self) -> bool:
        """Ask the same server by a connection of its own; a refusal is an answer, too."""
        deadline = time.monotonic() + ANSWER_SECONDS
        # Pinned: the others among several hosts say nothing about this one.
        dsn = extensions.make_dsn(self._own_dsn, host=self.info.host, port=self.info.port)
        with suppress(psycopg2.Error), closing(psycopg2.connect(dsn, async_=True)) as asking:
            while (state := asking.poll()) != extensions.POLL_OK:
                is_read = state == extensions.POLL_READ
                ready = select.select(
                    [asking] if is_read else [],
                    [] if is_read else [asking],
                    [],
                    max(0.0, deadline - time.monotonic()),
                )
                if not any(ready):
                    return False
        return True

    def cut(self) -> None:
        """End the connection under the thread that waits for it, which meets the end of the stream."""
        with suppress(OSError, psycopg2.Error), socket.socket(fileno=os.dup(self.fileno())) as copy:
            copy.shutdown(socket.SHUT_RDWR)


_watcher: threading.Thread | None = None


def _watch() -> None:
    """Have one thread look; a process that was forked has none of its parent's."""
    global _watcher  # noqa: PLW0603 - one for the process
    if _watcher is None or not _watcher.is_alive():
        _watcher = threading.Thread(target=_look_on, name="silence", daemon=True)
        _watcher.start()


def _look_on() -> None:
    while True:
        time.sleep(LOOK_SECONDS)
        for call in tuple(_underway.values()):
            if time.monotonic() - call.asked_at >= PATIENCE_SECONDS:
                _ask_about(call)


def _ask_about(call: _Call) -> None:
    if call.connection.server_answers():
        call.asked_at = time.monotonic()
    elif _underway.get(id(call.connection)) is call:
        call.is_given_up = True
        call.connection.cut()
