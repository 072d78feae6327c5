"""The exit codes, and which error ends in which."""

from __future__ import annotations

import signal
from enum import IntEnum

from ibutsu_tasks.errors import (
    IbutsuTasksError,
    ServiceUnreachableError,
    SettingsError,
    UsageError,
    WaitTimeoutError,
)
from ibutsu_tasks.health import WEDGED


class ExitCode(IntEnum):
    """What a command's end means to a script."""

    DONE = 0
    BAD_NEWS = 1
    USAGE = 2
    SETTINGS = 3
    UNREACHABLE = 4
    WEDGED = WEDGED
    TIMED_OUT = 124
    INTERRUPTED = 130
    TERMINATED = 143


SIGNALLED = {signal.SIGINT: ExitCode.INTERRUPTED, signal.SIGTERM: ExitCode.TERMINATED}
"""The codes of `prune` and `import`, by the first of these signals that ended them."""

MEANINGS: dict[ExitCode, str] = {
    ExitCode.DONE: "done",
    ExitCode.BAD_NEWS: "it ran and the answer is bad news: a check, an import or a task failed",
    ExitCode.USAGE: "wrong usage: an unknown option, task or argument; a confirmation without a terminal",
    ExitCode.SETTINGS: "settings are missing or invalid",
    ExitCode.UNREACHABLE: "a service cannot be reached",
    ExitCode.WEDGED: "a `worker` ended itself: messages were waiting and none reached it; start it again",
    ExitCode.TIMED_OUT: "timed out waiting",
    ExitCode.INTERRUPTED: "interrupted with Ctrl-C (`worker`, `beat` and `flower` end with their own codes)",
    ExitCode.TERMINATED: "ended by SIGTERM: `up`, `import`, or `prune` between two batches",
}

_BY_ERROR: tuple[tuple[type[IbutsuTasksError], ExitCode], ...] = (
    (UsageError, ExitCode.USAGE),
    (SettingsError, ExitCode.SETTINGS),
    (ServiceUnreachableError, ExitCode.UNREACHABLE),
    (WaitTimeoutError, ExitCode.TIMED_OUT),
)
"""All others, and those of task packages, are bad news."""


def code_of_signal(number: signal.Signals | None) -> ExitCode:
    """Give the code a command ends in that the signal stopped; a closed terminal is as good as SIGTERM."""
    return ExitCode.INTERRUPTED if number in {None, signal.SIGINT} else ExitCode.TERMINATED


def exit_code_of(error: IbutsuTasksError) -> ExitCode:
    """Give the code a foreseen error ends in."""
    return next((code for kind, code in _BY_ERROR if isinstance(error, kind)), ExitCode.BAD_NEWS)
