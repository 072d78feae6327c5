"""What PostgreSQL and Valkey share of a start: waiting until the server answers, or saying why not."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

from ibutsu_tasks.errors import LocalServersError
from ibutsu_tasks.local.processes import wait_until
from ibutsu_tasks.local.servers.directories import reset_command, tail

if TYPE_CHECKING:
    from pathlib import Path

    import psutil

EXEC_SECONDS = 0.1

RECOVERY_SECONDS = 30.0
"""For one that runs and does not answer: after a crash it reads its data first."""

STOP_SECONDS = 8.0
"""For one to end by itself, before it is killed."""


class Server(Protocol):
    """What Valkey and PostgreSQL have in common here."""

    @property
    def title(self) -> str:
        """The name people know it by."""

    @property
    def log(self) -> Path:
        """The file it writes to."""

    def answers(self) -> bool:
        """Tell whether it serves requests now."""

    def prepare(self) -> None:
        """Make its data directory ready for `launch`."""

    def launch(self) -> int:
        """Start it and give its pid."""

    def process(self, pid: int | None = None) -> psutil.Process | None:
        """Give its live process."""

    def stop(self, timeout_seconds: float) -> bool:
        """End it; say whether it is gone."""


def ensure_running(server: Server, timeout_seconds: float) -> None:
    """Adopt `server` when it answers, else clear what is left of it and start it.

    Raises LocalServersError with the lines it logged when it does not answer within `timeout_seconds` of
    being started.
    """
    if server.answers() or _recovers(server):
        return
    server.stop(STOP_SECONDS)
    log_size_bytes = server.log.stat().st_size
    try:
        server.prepare()
        pid = server.launch()
    except OSError as error:
        raise _failure(server, error.strerror or str(error), log_size_bytes) from None
    if not wait_until(lambda: server.answers() or _has_ended(server, pid), timeout_seconds):
        server.stop(STOP_SECONDS)
        raise _failure(server, f"it did not answer within {timeout_seconds:.0f} seconds", log_size_bytes)
    if not server.answers():
        raise _failure(server, "it ended at once", log_size_bytes)


def _has_ended(server: Server, pid: int) -> bool:
    """Look twice: at the moment a process becomes another program it has no command line to know it by."""
    if server.process(pid) is not None:
        return False
    time.sleep(EXEC_SECONDS)
    return server.process(pid) is None


def _recovers(server: Server) -> bool:
    if server.process() is None:
        return False
    wait_until(lambda: server.answers() or server.process() is None, RECOVERY_SECONDS)
    return server.answers()


def _failure(server: Server, reason: str, log_size_bytes: int) -> LocalServersError:
    lines = tail(server.log, since_bytes=log_size_bytes)
    data_dir = server.log.parent.parent
    # Not offered without a condition: a permission or a setting is put right, and the data are whole.
    empty = f"start with empty ones: {reset_command(data_dir)}"
    hint = f"Read {server.log}. Only when it says that the data are damaged, {empty}."
    if "No space left on device" in f"{reason}\n{lines}":
        hint = f"Free space on the disk of {data_dir}, or choose another --data-dir."
    last_words = f" It said:\n{lines}" if lines else ""
    return LocalServersError(f"{server.title} did not start: {reason}.{last_words}", hint)
