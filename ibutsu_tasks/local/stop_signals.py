"""Signals noted while `up` or `prune` runs: the first asks to stop in order, the second to hurry."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopSignals:
    """Counts the signals that ask to stop, in place of dying of them, while its block runs.

    With `only_first` the second one acts as if nobody caught it.
    """

    def __init__(self, numbers: Iterable[signal.Signals] = STOP_SIGNALS, *, only_first: bool = False) -> None:
        self._numbers = tuple(numbers)
        self._only_first = only_first
        self.first: signal.Signals | None = None
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
        for number in self._numbers:
            self._before[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, *_: object) -> None:
        self._restore()

    def _restore(self) -> None:
        while self._before:
            signal.signal(*self._before.popitem())

    def _receive(self, number: int, frame: object) -> None:  # noqa: ARG002 - the signature of a handler
        self._count += 1
        self.first = self.first or signal.Signals(number)
        if self._only_first:
            self._restore()
        if self._interrupts:
            self._interrupts = False
            raise KeyboardInterrupt
