"""A place numbers are read from, with a time limit whatever it does."""

from __future__ import annotations

import time
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

Value = TypeVar("Value")


class Reading(NamedTuple):
    """A reading that goes on: what is set at its end, and until when it is waited for."""

    ended: Event
    deadline: float


class Source(Generic[Value]):
    """Reads in a thread, which is left to itself when it takes too long; there is never more than one.

    `read` gives the numbers, `explain` words an error without secrets.
    """

    def __init__(
        self,
        name: str,
        read: Callable[[], Value],
        explain: Callable[[Exception], str],
        limit_seconds: float,
    ) -> None:
        self.name = name
        self.failure = ""
        """Why nothing was read last time."""
        self._read, self._explain = read, explain
        self._limit_seconds = limit_seconds
        self._value: Value | None = None
        self._running: Event | None = None
        self._lock = Lock()

    def begin(self) -> Reading:
        """Begin to read, unless that goes on."""
        with self._lock:
            if self._running is None or self._running.is_set():
                self._running = Event()
                Thread(target=self._run, args=(self._running,), name=self.name, daemon=True).start()
            return Reading(self._running, time.monotonic() + self._limit_seconds)

    def value(self, begun: Reading) -> Value | None:
        """Give what was read; None, and a `failure`, when that has not ended well within the time limit."""
        if not begun.ended.wait(begun.deadline - time.monotonic()):
            self.failure = f"it did not answer within {self._limit_seconds:g} s"
            return None
        return self._value

    def _run(self, ended: Event) -> None:
        try:
            self._value, self.failure = self._read(), ""
        except Exception as error:  # noqa: BLE001 - whatever it is, a 0 on the page says it
            self._value, self.failure = None, self._explain(error)
        finally:
            ended.set()
