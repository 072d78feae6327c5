"""The installed command as a subprocess: argv and environment in, output and exit code out."""

from __future__ import annotations

import io
import os
import pty
import select
import subprocess
import sys
import threading
import time
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Self
from unittest.mock import patch

from ibutsu_tasks.cli import main

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PROGRAM = str(Path(sys.executable).with_name("ibutsu-tasks"))
CELERY = str(Path(sys.executable).with_name("celery"))


def environment(**variables: str) -> dict[str, str]:
    """The test's environment, which `conftest.py` has cleared of settings, plus `variables`."""
    return {**os.environ, "COLUMNS": "80", "PYTHONUNBUFFERED": "1", **variables}


def services(broker_url: str, database_url: str) -> dict[str, str]:
    return {"CELERY_BROKER_URL": broker_url, "SQLALCHEMY_DATABASE_URI": database_url}


def run(
    *arguments: str,
    env: Mapping[str, str] | None = None,
    stdin: str = "",
    cwd: Path | None = None,
    timeout_seconds: float = 120,
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [PROGRAM, *arguments],
        env=environment(**(env or {})),
        input=stdin,
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout_seconds,
    )


def run_here(*arguments: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command in this process, where it has long been imported: for what is refused at once."""
    argv = [PROGRAM, *arguments]
    with (
        patch.dict(os.environ, environment(**(env or {}))),
        patch.object(sys, "argv", argv),
        redirect_stdout(io.StringIO()) as stdout,
        redirect_stderr(io.StringIO()) as stderr,
    ):
        code = main()
    return subprocess.CompletedProcess(argv, code, stdout.getvalue(), stderr.getvalue())


class Running:
    """A role in the background; its output is read as it comes, and it is gone when the block ends."""

    def __init__(self, *argv: str, env: Mapping[str, str], cwd: Path | None = None) -> None:
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            argv,
            env=environment(**env),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    @property
    def output(self) -> str:
        return "\n".join(self.lines)

    def wait_for(self, text: str, timeout_seconds: float = 120) -> None:
        until(lambda: text in self.output or self.process.poll() is not None, timeout_seconds)
        assert text in self.output, self.output

    def stop(self, signal_number: int = 15, timeout_seconds: float = 120) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal_number)
        code = self.process.wait(timeout_seconds)
        self._reader.join(5)
        return code

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, 9)
                self.process.wait(15)
        self._reader.join(5)
        if self.process.stdout is not None:
            self.process.stdout.close()


def role(name: str, *arguments: str, env: Mapping[str, str], cwd: Path | None = None) -> Running:
    return Running(PROGRAM, name, *arguments, env=env, cwd=cwd)


def type_at_the_question(env: Mapping[str, str], keys: str, *arguments: str) -> tuple[int, str]:
    """Run the command on a terminal of its own, type when it asks; give its exit code and its output."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(PROGRAM, [PROGRAM, *arguments], environment(**env))  # noqa: S606 - the command under test
    output = ""
    has_typed = False
    try:
        while piece := _read_terminal(terminal):
            output += piece
            if not has_typed and "[y/N]" in output:
                has_typed = True
                # The terminal turns a key into a signal only when the program waits for it.
                time.sleep(0.3)
                os.write(terminal, keys.encode())
    finally:
        os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), output


def _read_terminal(terminal: int) -> str:
    if not select.select([terminal], [], [], 120)[0]:
        raise TimeoutError("the command neither wrote nor ended")
    try:
        return os.read(terminal, 4096).decode(errors="replace")
    except OSError:  # how Linux says that the other side is closed
        return ""


def until(condition: Callable[[], object], timeout_seconds: float = 120) -> None:
    """Wait for a condition; the caller asserts what it needs."""
    deadline = time.monotonic() + timeout_seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
