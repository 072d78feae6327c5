"""Outlives a killed `up` and clears up after it: `python -m ibutsu_tasks.local.guard DATA_DIR PID CREATED`.

Its standard input is a pipe whose other end `up` alone holds. A word on it means an orderly end; an end
without a word means that `up` was killed.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ibutsu_tasks.errors import LocalServersError
from ibutsu_tasks.local.leftovers import end_leftover_roles
from ibutsu_tasks.local.processes import ProcessMark, how_it_ended, wait_until
from ibutsu_tasks.local.role_processes import python_command
from ibutsu_tasks.local.servers.directories import open_log
from ibutsu_tasks.local.servers.shared import stop_unused

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

FAREWELL = b"done"
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 60.0


class Guard:
    """The guard process as `up` sees it; `say` receives a sentence when it has to be started again."""

    def __init__(self, data_dir: Path, owner: ProcessMark, say: Callable[[str], None]) -> None:
        self._data_dir, self._owner, self._say = data_dir, owner, say
        self._pause_seconds = FIRST_PAUSE_SECONDS
        self._restart_at: float | None = None
        self._process = self._launch()

    def mend(self) -> None:
        """Look after it: start it again, after a pause, when it has ended. To be called now and then."""
        if self._process.poll() is None:
            return
        if self._restart_at is None:
            self._restart_at = time.monotonic() + self._pause_seconds
            self._say(f"the guard {how_it_ended(self._process.returncode)}; starting it again")
        elif time.monotonic() >= self._restart_at:
            # One that cannot live at all is no reason to end the stack, nor to fill the terminal.
            self._pause_seconds = min(2 * self._pause_seconds, LONGEST_PAUSE_SECONDS)
            self._restart_at = None
            self._close_pipe()
            self._process = self._launch()

    def dismiss(self) -> None:
        """Tell it that everything was stopped in order, and wait until it is gone."""
        with suppress(BrokenPipeError, subprocess.TimeoutExpired):
            self._process.communicate(FAREWELL, timeout=2)
        self._process.kill()
        self._process.wait()
        self._close_pipe()

    def _launch(self) -> subprocess.Popen[bytes]:
        command = python_command(
            "ibutsu_tasks.local.guard", str(self._data_dir), str(self._owner.pid), repr(self._owner.created)
        )
        with open_log(self._data_dir, "guard").open("ab") as log:
            return subprocess.Popen(  # noqa: S603 - a fixed command of ours
                command, stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True
            )

    def _close_pipe(self) -> None:
        if self._process.stdin is not None:
            with suppress(BrokenPipeError):
                self._process.stdin.close()


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
