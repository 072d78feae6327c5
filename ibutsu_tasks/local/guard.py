"""Outlives a killed `up` and clears up after it: `python -m ibutsu_tasks.local.guard DATA_DIR PID CREATED`.

Its standard input is a pipe whose other end `up` alone holds. A word on it means an orderly end; an end
without a word means that `up` was killed.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ibutsu_tasks.errors import LocalServersError
from ibutsu_tasks.local.directories import open_log
from ibutsu_tasks.local.leftovers import end_leftover_roles
from ibutsu_tasks.local.processes import ProcessMark, wait_until
from ibutsu_tasks.local.roles import python_command
from ibutsu_tasks.local.servers import stop_unused

if TYPE_CHECKING:
    from collections.abc import Sequence

FAREWELL = b"done"


class Guard:
    """The guard process as `up` sees it."""

    def __init__(self, data_dir: Path, owner: ProcessMark) -> None:
        command = python_command(
            "ibutsu_tasks.local.guard", str(data_dir), str(owner.pid), repr(owner.created)
        )
        with open_log(data_dir, "guard").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - a fixed command of ours
                command, stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True
            )

    def dismiss(self) -> None:
        """Tell it that everything was stopped in order, and wait until it is gone."""
        with suppress(BrokenPipeError, subprocess.TimeoutExpired):
            self._process.communicate(FAREWELL, timeout=2)
        self._process.kill()
        self._process.wait()


def main(arguments: Sequence[str]) -> None:
    """Wait for the end of `up`; clear up when it was not an orderly one."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    if sys.stdin.buffer.read() == FAREWELL:
        return
    data_dir, owner = Path(arguments[0]), ProcessMark(int(arguments[1]), float(arguments[2]))
    # The pipe closes a moment before the process is gone.
    wait_until(lambda: owner.process() is None, timeout_seconds=5)
    end_leftover_roles(data_dir, owner)
    # The next `up` may have started by now; its lease keeps the servers.
    with suppress(LocalServersError):
        stop_unused(data_dir)


if __name__ == "__main__":
    main(sys.argv[1:])
