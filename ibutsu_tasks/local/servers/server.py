"""What PostgreSQL and Valkey have in common: in which order one is found, adopted, prepared and stopped."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

from ibutsu_tasks.errors import LocalServersError
from ibutsu_tasks.local.processes import find_process, find_processes, is_alive, kill_processes, wait_until
from ibutsu_tasks.local.servers.directories import open_log, reset_command, tail

if TYPE_CHECKING:
    from pathlib import Path

    import psutil

EXEC_SECONDS = 0.1

RECOVERY_SECONDS = 30.0
"""For one that runs and does not answer: after a crash it reads its data first."""

STOP_SECONDS = 8.0
"""For one to end by itself, before it is killed."""


class Server(ABC):
    """A server of one data directory: it works in a directory there and notes its pid in it.

    `programs` is the directory of its programs.
    """

    title: ClassVar[str]
    program: ClassVar[str]
    pid_file: ClassVar[str]

    def __init__(self, programs: Path, data_dir: Path, socket_directory: Path) -> None:
        name = self.title.lower()
        self.programs = programs
        self.data_dir = data_dir
        self.socket_directory = socket_directory
        self.directory = data_dir / name
        self.log = open_log(data_dir, name)

    @abstractmethod
    def answers(self) -> bool:
        """Tell whether it serves requests now."""

    @abstractmethod
    def prepare(self) -> None:
        """Make its data directory ready for `launch`."""

    @abstractmethod
    def launch(self) -> int:
        """Start it and give its pid; it does not answer yet."""

    @abstractmethod
    def ask_to_end(self) -> None:
        """Ask it to end in order."""

    def ensure_running(self, timeout_seconds: float) -> None:
        """Adopt it when it answers, else clear what is left of it and start it.

        Raises LocalServersError with the lines it logged when it does not answer within `timeout_seconds`
        of being started.
        """
        if self.answers() or self._recovers():
            return
        self.stop(STOP_SECONDS)
        # Processes of a killed server may still write its files or use its memory.
        kill_processes(self._all_processes())
        log_size_bytes = self.log.stat().st_size
        try:
            self.prepare()
            pid = self.launch()
        except OSError as error:
            raise self._failure(error.strerror or str(error), log_size_bytes) from None
        if not wait_until(lambda: self.answers() or self._has_ended(pid), timeout_seconds):
            self.stop(STOP_SECONDS)
            raise self._failure(f"it did not answer within {timeout_seconds:.0f} seconds", log_size_bytes)
        if not self.answers():
            raise self._failure("it ended at once", log_size_bytes)

    def stop(self, timeout_seconds: float) -> bool:
        """End it, by force when it does not within the time; say whether it is gone."""
        process = self.process()
        if process is None:
            return True
        self.ask_to_end()
        return wait_until(lambda: not is_alive(process), timeout_seconds) or self.kill()

    def kill(self) -> bool:
        """End all its processes without asking; say whether they are gone."""
        return kill_processes(self._all_processes())

    def process(self, pid: int | None = None) -> psutil.Process | None:
        """Give its live first process, found by `pid` or by its own note, or None."""
        return find_process(pid or self.noted_pid(), name=self.program, directory=self.directory)

    def noted_pid(self) -> int | None:
        """Give the pid it has written down, which may be a stranger's by now."""
        try:
            return int((self.directory / self.pid_file).read_text(encoding="utf-8").split()[0])
        except (OSError, ValueError, IndexError):
            return None

    def _all_processes(self) -> list[psutil.Process]:
        return find_processes(name=self.program, directory=self.directory)

    def _has_ended(self, pid: int) -> bool:
        """Look twice: while a process becomes another program it has no command line to know it by."""
        if self.process(pid) is not None:
            return False
        time.sleep(EXEC_SECONDS)
        return self.process(pid) is None

    def _recovers(self) -> bool:
        if self.process() is None:
            return False
        wait_until(lambda: self.answers() or self.process() is None, RECOVERY_SECONDS)
        return self.answers()

    def _failure(self, reason: str, log_size_bytes: int) -> LocalServersError:
        lines = tail(self.log, since_bytes=log_size_bytes)
        # Not offered without a condition: a permission or a setting is put right, and the data are whole.
        empty = f"start with empty ones: {reset_command(self.data_dir)}"
        hint = f"Read {self.log}. Only when it says that the data are damaged, {empty}."
        if "No space left on device" in f"{reason}\n{lines}":
            hint = f"Free space on the disk of {self.data_dir}, or choose another --data-dir."
        last_words = f" It said:\n{lines}" if lines else ""
        return LocalServersError(f"{self.title} did not start: {reason}.{last_words}", hint)
