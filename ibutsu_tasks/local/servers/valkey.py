"""One embedded Valkey: its options and address; how it is started and asked to end."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

import redis

from ibutsu_tasks.broker.connection import build_client
from ibutsu_tasks.local.processes import launch_detached
from ibutsu_tasks.local.servers.server import Server

if TYPE_CHECKING:
    from pathlib import Path

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


class Valkey(Server):
    """The message broker of one data directory."""

    title = "Valkey"
    program = "valkey-server"
    pid_file = OPTIONS["pidfile"]

    @property
    def socket(self) -> Path:
        """Where it listens."""
        return self.socket_directory / "valkey.sock"

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
        self.directory.mkdir(exist_ok=True, mode=0o700)
        self.socket.unlink(missing_ok=True)
        (self.directory / self.pid_file).unlink(missing_ok=True)

    def launch(self) -> int:
        """Start it and give its pid; it does not answer yet."""
        options = {**OPTIONS, "unixsocket": str(self.socket)}
        arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
        return launch_detached(
            [str(self.programs / self.program), *arguments],
            directory=self.directory,
            log=self.log,
            environment={"PATH": os.defpath, "TZ": "UTC"},
        )

    def ask_to_end(self) -> None:
        """Ask it to end in order."""
        with suppress(redis.RedisError), self._client() as client:
            client.shutdown(nosave=True)

    def _client(self) -> redis.Redis:
        return build_client(self.url, timeout_seconds=2)
