"""A tool at work: a process in a session of its own, with limits, whose output is read as it comes."""

from __future__ import annotations

import os
import re
import select
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self

from ibutsu_tasks.errors import RefusedError
from tools.launcher import GRACE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tools.registry import Limits

LAUNCHER = Path(__file__).with_name("launcher.py")

PIECE_BYTES = 65_536

SPARE_SECONDS = 5.0
"""What the launcher is given beyond the grace of its program before it is killed with its group."""


class ToolFailedError(RefusedError):
    """A tool ended with an error; it is tried again."""

    hint = "The last lines of the job's log say more."


class ToolEndedError(RefusedError):
    """A tool was ended for what it took, or cannot be started; trying again would not help."""

    hint = "See its command and its limits in TOOLS_FILE, or tools/registry.py."


def find_program(name: str) -> str | None:
    """Give where the program of a command is, None where it is not."""
    return shutil.which(name)


class Process:
    """A tool's process, and all that come of it, which are gone when the block ends, however it does."""

    def __init__(self, command: Sequence[str], limits: Limits, directory: Path, temporary: Path) -> None:
        """Start it. Raises ToolEndedError."""
        if (program := find_program(command[0])) is None:
            raise ToolEndedError(
                f"{command[0]} is not installed on this host, or not where it was looked for."
            )
        amounts = (str(limits.memory_bytes), str(limits.file_bytes))
        self._process = subprocess.Popen(  # noqa: S603 - a registered command; no shell reads it
            [sys.executable, "-I", "-S", str(LAUNCHER), *amounts, program, *command[1:]],
            cwd=directory,
            # Nothing of the worker's own, whose variables hold passwords.
            env={
                "PATH": os.environ.get("PATH", os.defpath),
                "LANG": "C.UTF-8",
                "HOME": str(temporary),
                "TMPDIR": str(temporary),
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            bufsize=0,
        )
        self._has_output = select.poll()
        self._has_output.register(self._output, select.POLLIN)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    @property
    def _output(self) -> int:
        assert self._process.stdout is not None  # noqa: S101 - it is a pipe
        return self._process.stdout.fileno()

    def read(self, wait_seconds: float) -> bytes | None:
        """Give what it wrote, nothing where that is nothing within `wait_seconds`, None after the end."""
        if self._has_output.poll(wait_seconds * 1000):
            return os.read(self._output, PIECE_BYTES) or None
        if self._process.poll() is None:
            return b""
        # Somebody killed the launcher; what it left behind holds the pipe.
        self._kill_group()
        return None

    def end(self) -> int:
        """End all of it, unless that has happened; give the exit code. May be called twice."""
        assert self._process.stdin is not None  # noqa: S101 - as above
        assert self._process.stdout is not None  # noqa: S101
        self._process.stdin.close()
        # A launcher that waits for room in the pipe of the output would not end.
        self._process.stdout.close()
        try:
            return self._process.wait(GRACE_SECONDS + SPARE_SECONDS)
        except subprocess.TimeoutExpired:
            self._kill_group()
            return self._process.wait()

    def _kill_group(self) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)


def sentence_of(tool: str, code: int) -> str:
    """Say how a tool ended by an exit code that is not 0."""
    try:
        name = signal.Signals(code - 128 if code > 128 else -code).name  # noqa: PLR2004 - as shells have it
    except ValueError:
        return f"{tool} ended with {code}."
    return f"{tool} was ended by {name}."


class Log:
    """What is kept of an output: whole lines, until they are too many."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = self._left_bytes = limit_bytes
        self._rest = b""
        self.kept = ""
        """What was kept and is not written yet."""

    def add(self, piece: bytes, *, is_last: bool = False) -> list[str]:
        """Take in a piece; give the lines that it completes."""
        # Programs go back with \r to write a line anew.
        *lines, self._rest = re.split(rb"\r\n?|\n", self._rest + piece)
        if self._rest and (is_last or len(self._rest) > PIECE_BYTES):
            lines, self._rest = [*lines, self._rest], b""
        texts = [line.decode(errors="replace") for line in lines]
        for text in texts:
            self._keep(f"{text}\n")
        return texts

    def _keep(self, line: str) -> None:
        if self._left_bytes < 0:
            return
        encoded = line.encode()
        if len(encoded) > self._left_bytes:
            start = encoded[: self._left_bytes].decode(errors="ignore")
            line = f"{start}\nThe log is longer than {self._limit_bytes:,} bytes: the rest was left out.\n"
        self._left_bytes -= len(encoded)
        self.kept += line
