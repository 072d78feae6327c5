"""Outlives a killed `up` and ends what it left: `python -m ibutsu_tasks.local.guard DATA_DIR PID CREATED`.

Its standard input is a pipe whose other end `up` alone holds. A word on it means an orderly end; an end
without a word means that `up` was killed.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from ibutsu_tasks.errors import LocalServersError
from ibutsu_tasks.local.processes import ProcessMark, end_sessions, how_it_ended, wait_until
from ibutsu_tasks.local.role_processes import python_command
from ibutsu_tasks.local.servers.directories import open_log
from ibutsu_tasks.local.servers.shared import stop_unused
from ibutsu_tasks.own_files import read_own, write_own

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

FAREWELL = b"done"

RESTART_SECONDS = 5.0
"""At the least between two starts: a guard that cannot live is no reason to fill the terminal."""

ROLES_NAME = "roles.json"
"""The file that says which role processes a stack has started."""

END_TIMEOUT_SECONDS = 5.0
"""As long as a worker is given for its tasks when a stack is stopped in order."""


class Guard:
    """The guard process as `up` sees it; `say` receives a sentence when it has to be started again."""

    def __init__(self, data_dir: Path, owner: ProcessMark, say: Callable[[str], None]) -> None:
        self._data_dir, self._owner, self._say = data_dir, owner, say
        self._launch()

    def restart_if_ended(self) -> None:
        """Start it again when it has ended. To be called every second or so."""
        exit_code = self._process.poll()
        if exit_code is not None and time.monotonic() - self._started >= RESTART_SECONDS:
            self._say(f"the guard {how_it_ended(exit_code)}; starting it again")
            self._process.communicate()
            self._launch()

    def dismiss(self) -> None:
        """Tell it that everything was stopped in order, and wait until it is gone."""
        with suppress(subprocess.TimeoutExpired):
            self._process.communicate(FAREWELL, timeout=2)
        self._process.kill()
        self._process.wait()

    def _launch(self) -> None:
        self._started = time.monotonic()
        command = python_command(
            "ibutsu_tasks.local.guard", str(self._data_dir), str(self._owner.pid), repr(self._owner.created)
        )
        with open_log(self._data_dir, "guard").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - a fixed command of ours
                command, stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True
            )


def write_roles(data_dir: Path, owner: ProcessMark, roles: Iterable[ProcessMark]) -> None:
    """Write down that `owner` has started `roles`."""
    note = {"owner": asdict(owner), "roles": [asdict(role) for role in roles]}
    write_own(data_dir / ROLES_NAME, json.dumps(note))


def remove_roles(data_dir: Path) -> None:
    """Remove what was written: nothing is left to end."""
    (data_dir / ROLES_NAME).unlink(missing_ok=True)


def end_leftover_roles(data_dir: Path, owner: ProcessMark | None = None) -> int:
    """End the roles a dead stack has left, `owner`'s alone when given; give how many still ran.

    Nothing is done while the stack that started them lives.
    """
    written = _read_roles(data_dir)
    if written is None or written[0].process() or owner not in {None, written[0]}:
        return 0
    running = [role for role in written[1] if role.session()]
    end_sessions(running, END_TIMEOUT_SECONDS)
    return len(running)


def _read_roles(data_dir: Path) -> tuple[ProcessMark, list[ProcessMark]] | None:
    try:
        note = json.loads(read_own(data_dir / ROLES_NAME))
        return ProcessMark(**note["owner"]), [ProcessMark(**role) for role in note["roles"]]
    except (OSError, ValueError, TypeError, KeyError):
        return None


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
