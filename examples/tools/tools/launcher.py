"""Runs one program, and ends all that comes of it.

Called as `launcher.py MEMORY_BYTES FILE_BYTES PROGRAM ARGUMENTS...`.
Its task holds the other end of its standard input and writes nothing: when that is closed, the task wants it
to end, or was killed. The kernel hands it the orphans of the program, so that it knows of those, too, that
left the process group. It ends when nothing is left, with the program's exit code, or 128 and its signal.
Nothing but the standard library is loaded: a tool is started in some 50 ms.
"""

from __future__ import annotations

import ctypes
import os
import resource
import select
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36

GRACE_SECONDS = 3.0
"""Between SIGTERM and SIGKILL."""

LOOK_SECONDS = 0.05

prctl = ctypes.CDLL(None).prctl


def main(memory_bytes: int, file_bytes: int, command: list[str]) -> int:
    """Run the program; give the exit code."""
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    # The group is its own, too, and goes on to the end.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    program = os.fork()
    if program == 0:
        _become(memory_bytes, file_bytes, command)
    code = _wait_for(program)
    _end_all()
    return 128 + signal.SIGTERM if code is None else code


def _become(memory_bytes: int, file_bytes: int, command: list[str]) -> None:
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    for number in (signal.SIGTERM, signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    for limit, most in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_FSIZE, file_bytes),
        (resource.RLIMIT_CORE, 0),
    ):
        _, allowed = resource.getrlimit(limit)
        most = most if allowed == resource.RLIM_INFINITY else min(most, allowed)  # noqa: PLW2901 - as it fits
        resource.setrlimit(limit, (most, most))
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    try:
        os.execvp(command[0], command)  # noqa: S606 - no shell is wanted
    except OSError as error:
        os.write(2, f"{command[0]} cannot be started: {error.strerror}\n".encode())
        os._exit(127)


def _wait_for(program: int) -> int | None:
    """Wait for the program to end, and give its exit code; None when it is to be ended."""
    ended: dict[int, int] = {}
    while not select.select([0], [], [], LOOK_SECONDS)[0]:
        _reap(ended)
        if program in ended:
            code = os.waitstatus_to_exitcode(ended[program])
            return code if code >= 0 else 128 - code
    return None


def _end_all() -> None:
    """End what is left, whatever group it is in: first by SIGTERM, and what is left of that by SIGKILL."""
    deadline = time.monotonic() + GRACE_SECONDS
    asked: set[int] = set()
    while _reap({}):
        is_late = time.monotonic() >= deadline
        found = _descendants()
        for pid in found if is_late else found - asked:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL if is_late else signal.SIGTERM)
        asked |= found
        time.sleep(LOOK_SECONDS)


def _reap(ended: dict[int, int]) -> bool:
    """Note the status of each child that ended; say whether any is left."""
    with suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return True
            ended[pid] = status
    return False


def _descendants() -> set[int]:
    """Find all that came of this process, as of a moment: it is asked again until nothing is left."""
    parents: dict[int, int] = {}
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            with suppress(OSError):
                # After the name, which may hold anything: the state, and the parent.
                parents[int(path.name)] = int((path / "stat").read_bytes().rpartition(b")")[2].split()[1])
    found = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {os.getpid()}


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]))
