"""SIGTERM and Ctrl-C during a prune: the first lets the batch end, the second ends the command."""

from __future__ import annotations

import signal
from typing import Any, Self

from ibutsu_tasks.cli.exit_codes import ExitCode

_CODES = {signal.SIGINT: ExitCode.INTERRUPTED, signal.SIGTERM: ExitCode.TERMINATED}


class StopRequest:
    """Takes note of the first SIGINT or SIGTERM while its block runs; a second one acts as ever."""

    def __init__(self) -> None:
        self._before: dict[int, Any] = {}
        self.exit_code: ExitCode | None = None

    def is_made(self) -> bool:
        """Say whether the command was asked to stop."""
        return self.exit_code is not None

    def __enter__(self) -> Self:
        for number in _CODES:
            self._before[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, *_: object) -> None:
        self._restore()

    def _restore(self) -> None:
        while self._before:
            signal.signal(*self._before.popitem())

    def _receive(self, number: int, frame: object) -> None:  # noqa: ARG002 - the signature of a handler
        self.exit_code = _CODES[signal.Signals(number)]
        self._restore()
