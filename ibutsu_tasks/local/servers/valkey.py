"""One embedded Valkey: its program and options; how it is started, adopted and stopped."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

import redis

from ibutsu_tasks.broker import build_client
from ibutsu_tasks.local.processes import (
    find_process,
    find_processes,
    is_alive,
    kill_processes,
    launch_detached,
    wait_until,
)
from ibutsu_tasks.local.servers.directories import open_log

if TYPE_CHECKING:
    from pathlib import Path

    import psutil

PROGRAM = "valkey-server"
SOCKET_NAME = "valkey.sock"

# Every change reaches the disk within a second; a broker that evicts keys loses messages.
OPTIONS = {
    "port": "0",
    "unixsocketperm": "700",
    "appendonly": "yes",
    "appendfsync": "everysec",
    "save": "",
    "maxmemory-policy": "noeviction",
    "pidfile": "valkey.pid",
    "daemonize": "no",
}


class Valkey:
    """The message broker of one data directory."""

    title = "Valkey"

    def __init__(self, program: Path, data_dir: Path, socket_directory: Path) -> None:
        self._program = program
        self._directory = data_dir / "valkey"
        self.socket = socket_directory / SOCKET_NAME
        self.log = open_log(data_dir, "valkey")

    @property
    def url(self) -> str:
        """The address as Celery and kombu write it."""
        return f"redis+socket://{self.socket}?virtual_host=0"

    def answers(self) -> bool:
        """Tell whether it serves requests now; while it still loads its data it does not."""
        try:
            with self._client() as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    def prepare(self) -> None:
        """Make its directory and clear what a dead server left."""
        self._directory.mkdir(exist_ok=True, mode=0o700)
        # Two servers writing one append-only file would ruin it.
        kill_processes(find_processes(name=PROGRAM, directory=self._directory))
        self.socket.unlink(missing_ok=True)
        self._pid_file.unlink(missing_ok=True)

    def launch(self) -> int:
        """Start it and give its pid; it does not answer yet."""
        options = {**OPTIONS, "unixsocket": str(self.socket)}
        arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
        return launch_detached(
            [str(self._program), *arguments],
            directory=self._directory,
            log=self.log,
            environment={"PATH": os.defpath, "TZ": "UTC"},
        )

    def process(self, pid: int | None = None) -> psutil.Process | None:
        """Give its live process, found by `pid` or by its own note, or None."""
        return find_process(pid or self._noted_pid(), name=PROGRAM, directory=self._directory)

    def stop(self, timeout_seconds: float) -> bool:
        """Ask it to end, kill it when it does not within the time; say whether it is gone."""
        process = self.process()
        if process is None:
            return True
        with suppress(redis.RedisError), self._client() as client:
            client.shutdown(nosave=True)
        return wait_until(lambda: not is_alive(process), timeout_seconds) or kill_processes([process])

    @property
    def _pid_file(self) -> Path:
        return self._directory / OPTIONS["pidfile"]

    def _noted_pid(self) -> int | None:
        try:
            return int(self._pid_file.read_text(encoding="ascii"))
        except (OSError, ValueError):
            return None

    def _client(self) -> redis.Redis:
        return build_client(self.url, timeout_seconds=2)
