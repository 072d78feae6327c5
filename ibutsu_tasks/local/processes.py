"""Detached processes: started in a session of their own, recognised later, ended for certain."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

POLL_SECONDS = 0.02

# The time a process was created is reckoned from the clock, which may be set in between.
CLOCK_STEP_SECONDS = 2.0

# The shell goes at once, so a server is nobody's child: no holder has to reap it, whoever leaves first.
_DETACH = ("/bin/sh", "-c", '"$@" >&2 & echo $!', "sh")


def launch_detached(
    command: Sequence[str],
    *,
    directory: Path,
    log: Path,
    environment: Mapping[str, str],
) -> int:
    """Start `command` in a new session, so that Ctrl-C of our terminal never reaches it; give its pid."""
    with log.open("ab") as output:
        started = subprocess.run(  # noqa: S603 - a fixed command of ours
            [*_DETACH, *command],
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=output,
            cwd=directory,
            env=dict(environment),
            start_new_session=True,
            timeout=10,
        )
    return int(started.stdout)


def find_process(pid: int | None, *, name: str, directory: Path) -> psutil.Process | None:
    """Give the live process `pid` if it is a `name` working in `directory`, never a stranger with its pid."""
    if pid is None:
        return None
    try:
        process = psutil.Process(pid)
        command = " ".join(process.cmdline())
        if not is_alive(process) or name not in command:
            return None
        return process if _works_in(process, command, str(directory.resolve())) else None
    except psutil.Error:
        return None


def _works_in(process: psutil.Process, command: str, directory: str) -> bool:
    try:
        return process.cwd() == directory
    except psutil.AccessDenied:
        # Running as another user it may hide its directory from us; PostgreSQL's command line names it too.
        return f" {directory} " in f"{command} "


def find_processes(*, name: str, directory: Path) -> list[psutil.Process]:
    """Find every live `name` working in `directory`, whoever started it."""
    return [
        process for pid in psutil.pids() if (process := find_process(pid, name=name, directory=directory))
    ]


def is_alive(process: psutil.Process) -> bool:
    """Tell whether the very process still runs; a zombie does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_until(condition: Callable[[], bool], timeout_seconds: float) -> bool:
    """Poll `condition` until it holds; False when it does not within the time."""
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def how_it_ended(exit_code: int) -> str:
    """Say how a process ended, from its exit code, which is negative for a signal."""
    if exit_code < 0:
        return f"was killed by signal {-exit_code}"
    return f"ended by itself with exit code {exit_code}"


def kill_processes(processes: Sequence[psutil.Process], timeout_seconds: float = 2.0) -> bool:
    """End `processes` without asking; say whether all are gone."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGKILL)
    return wait_until(lambda: not any(is_alive(process) for process in processes), timeout_seconds)


@dataclass(frozen=True, slots=True)
class ProcessMark:
    """Tells one process from a later one with the same pid. `created` is in seconds since the epoch."""

    pid: int
    created: float

    @classmethod
    def of(cls, pid: int) -> ProcessMark:
        """Mark the live process `pid`."""
        return cls(pid, psutil.Process(pid).create_time())

    def process(self) -> psutil.Process | None:
        """Give the marked process while it lives."""
        with suppress(psutil.Error):
            process = psutil.Process(self.pid)
            if is_alive(process) and self._is_at(process.create_time()):
                return process
        return None

    def session(self) -> list[psutil.Process]:
        """Give what lives of the session the marked process leads or, itself dead, led.

        The system does not give its pid to anyone while the session has members.
        """
        with suppress(psutil.Error):
            if not self._is_at(psutil.Process(self.pid).create_time()):
                return []
        return [member for pid in psutil.pids() if (member := self._member(pid))]

    def _member(self, pid: int) -> psutil.Process | None:
        with suppress(psutil.Error, OSError):
            process = psutil.Process(pid)
            if os.getsid(pid) == self.pid and process.create_time() > self.created - CLOCK_STEP_SECONDS:
                return process if is_alive(process) else None
        return None

    def _is_at(self, created: float) -> bool:
        return abs(created - self.created) < CLOCK_STEP_SECONDS


def end_sessions(marks: Sequence[ProcessMark], timeout_seconds: float) -> bool:
    """Ask the leaders of sessions to end and kill what is left after the time; say whether all are gone.

    Only leaders are asked: a worker's own processes, asked too, would drop the task they are at.
    """
    for mark in marks:
        if leader := mark.process():
            with suppress(psutil.NoSuchProcess):
                leader.terminate()
    wait_until(lambda: not any(mark.process() for mark in marks), timeout_seconds)
    return kill_processes([member for mark in marks for member in mark.session()])
