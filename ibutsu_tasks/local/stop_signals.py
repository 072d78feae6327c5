"""SIGINT, SIGTERM and SIGHUP: the first asks to stop in order, the second to hurry."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Iterator

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopSignals:
    """Counts the signals that ask to stop, in place of dying of them, while its block runs."""

    def __init__(self) -> None:
        self._count = 0
        self._interrupts = False
        self._before: dict[signal.Signals, Any] = {}

    @property
    def requested(self) -> bool:
        """Somebody asked to stop."""
        return self._count > 0

    @property
    def hurried(self) -> bool:
        """Somebody asked again."""
        return self._count > 1

    @contextmanager
    def interrupting(self) -> Iterator[None]:
        """Raise KeyboardInterrupt in the block at the first signal: for work that may end anywhere."""
        if self.requested:
            raise KeyboardInterrupt
        self._interrupts = True
        try:
            yield
        finally:
            self._interrupts = False

    def __enter__(self) -> Self:
        for number in STOP_SIGNALS:
            self._before[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _receive(self, number: int, frame: object) -> None:  # noqa: ARG002 - the signature of a handler
        self._count += 1
        if self._interrupts:
            self._interrupts = False
            raise KeyboardInterrupt
