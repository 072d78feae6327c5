"""The standard streams of a command: writing never fails, be they closed, full, or of few characters."""

from __future__ import annotations

import io
import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

STDOUT, STDERR = 1, 2


class Sink(io.FileIO):
    """A stream whose first error is kept in `failure`; from then on it leads nowhere, for children too."""

    failure: OSError | None = None

    def write(self, data: ReadableBuffer, /) -> int:
        """Write, or drop what nobody takes."""
        try:
            return super().write(data)
        except OSError as error:
            self.failure = error
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)
            return memoryview(data).nbytes


def prepare() -> Sink:
    """Put streams in place that never fail, and that escape what their encoding lacks; give stdout's sink."""
    _open_closed()
    sys.stdin = sys.stdin or open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - for the whole process
    sink, sys.stdout = _rebuild(STDOUT, sys.stdout)
    _, sys.stderr = _rebuild(STDERR, sys.stderr)
    return sink


def problem(sink: Sink) -> str | None:
    """Say why not all of stdout was written; a reader that has seen enough is no problem."""
    sys.stdout.flush()
    if sink.failure is None or isinstance(sink.failure, BrokenPipeError):
        return None
    return f"Not all could be written to stdout: {sink.failure.strerror}."


def _open_closed() -> None:
    """Open the standard streams that are closed, or the next socket would take their place."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= STDERR:
        os.set_inheritable(number, True)
    os.close(number)


def _rebuild(number: int, old: Any) -> tuple[Sink, io.TextIOWrapper]:
    sink = Sink(number, "w", closefd=False)
    new = io.TextIOWrapper(
        io.BufferedWriter(sink),
        encoding=old.encoding if old else "utf-8",
        errors="backslashreplace",
        line_buffering=bool(old) and old.line_buffering,
        write_through=bool(old) and old.write_through,
    )
    return sink, new
