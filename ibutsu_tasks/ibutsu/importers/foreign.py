"""Calling functions of other task packages, which may end the process where they should raise."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class ExitError(Exception):
    """A function called `sys.exit`."""


@contextmanager
def without_exit() -> Iterator[None]:
    """Raise ExitError where the block calls `sys.exit`, lest the process ended, and the import began anew."""
    try:
        yield
    except SystemExit as end:
        if isinstance(end.code, int) and end.code < 0:
            raise  # so a signal ends a process of a worker's pool
        raise ExitError(f"sys.exit({end.code!r})") from end
