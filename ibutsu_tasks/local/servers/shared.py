"""The pair of servers that all processes on one data directory share, from the first lease to the last.

Everyone who uses the servers holds a lease; the kernel ends it however the process dies. The first
holder starts the servers, later ones find them, the last one to leave stops them. What a killed holder
left behind is adopted while it answers and cleared when it does not.
"""

from __future__ import annotations

import os
import shutil
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Self

from ibutsu_tasks.errors import LocalServersError, RefusedError
from ibutsu_tasks.local.servers.binaries import find_programs
from ibutsu_tasks.local.servers.directories import (
    choose_socket_directory,
    claim_cluster,
    data_directory_errors,
    forget_servers,
    has_cluster,
    prepare_data_directory,
    process_namespace,
    read_servers_record,
)
from ibutsu_tasks.local.servers.leases import Lease, start_lock
from ibutsu_tasks.local.servers.postgresql import Postgresql
from ibutsu_tasks.local.servers.server import STOP_SECONDS, Server
from ibutsu_tasks.local.servers.valkey import Valkey

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

START_TIMEOUT_SECONDS = 30.0


class LocalServers:
    """The embedded servers of one data directory, started on entry and left on exit.

    `on_progress` receives one sentence for each step that takes time.
    """

    def __init__(self, data_dir: Path, *, on_progress: Callable[[str], None] = lambda _: None) -> None:
        self._wanted_data_dir = data_dir
        self._say = on_progress
        self._lease: Lease | None = None
        self._owner_pid = 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Use the servers, starting what does not run yet.

        Raises LocalServersError, with the last lines of the log, when they cannot be started.
        """
        valkey_programs, postgresql_programs = find_programs()
        self.data_dir = prepare_data_directory(self._wanted_data_dir)
        with start_lock(self.data_dir), ExitStack() as undo:
            lease = Lease(self.data_dir)
            undo.callback(lease.close)
            self._check_visible(lease)
            sockets = choose_socket_directory(self.data_dir)
            self.valkey = Valkey(valkey_programs, self.data_dir, sockets)
            self.postgresql = Postgresql(postgresql_programs, self.data_dir, sockets)
            if lease.is_only_one():
                undo.callback(self._end_servers)
            self._start_servers()
            lease.take()
            undo.pop_all()
        self._lease, self._owner_pid = lease, os.getpid()

    def stop(self, timeout_seconds: float = STOP_SECONDS) -> None:
        """Leave the servers; the last one to leave stops them, by force after `timeout_seconds`.

        Raises LocalServersError when a server cannot even be killed.
        """
        # A forked child has inherited this object, not the right to stop its parent's servers.
        if self._lease is None or self._owner_pid != os.getpid():
            return
        lease, self._lease = self._lease, None
        with start_lock(self.data_dir), closing(lease):
            if lease.is_only_one():
                self._end_servers(timeout_seconds)

    def restart_ended(self) -> None:
        """Start again the servers that have ended. Raises LocalServersError when it does not start."""
        if self.valkey.process() and self.postgresql.process():
            return
        with start_lock(self.data_dir):
            self._start_servers()

    @property
    def broker_url(self) -> str:
        """Valkey's address in Celery's form."""
        return self.valkey.url

    @property
    def database_url(self) -> str:
        """The address of the database `ibutsu`, which exists, in SQLAlchemy's form."""
        return self.postgresql.url

    def _check_visible(self, lease: Lease) -> None:
        record = read_servers_record(self.data_dir)
        if record is None or record.process_namespace == process_namespace() or lease.is_only_one():
            return
        raise LocalServersError(
            f"The servers of {self.data_dir} run in another container.",
            "Stop them there first, or choose another --data-dir.",
        )

    def _start_servers(self) -> None:
        self._announce(self.valkey, "starting Valkey")
        self.valkey.ensure_running(START_TIMEOUT_SECONDS)
        claim_cluster(self.postgresql.directory)
        is_there = has_cluster(self.postgresql.directory)
        step = "starting PostgreSQL" if is_there else "creating the PostgreSQL cluster"
        self._announce(self.postgresql, step)
        self.postgresql.ensure_running(START_TIMEOUT_SECONDS)
        self.postgresql.create_database()

    def _announce(self, server: Server, step: str) -> None:
        if not server.answers():
            self._say(step)

    def _end_servers(self, timeout_seconds: float = STOP_SECONDS) -> None:
        _stop_all((self.postgresql, self.valkey), self.data_dir, timeout_seconds)


def stop_unused(data_dir: Path) -> None:
    """Stop what killed holders left running; nothing is done while somebody uses the servers.

    Raises LocalServersError when a server cannot be stopped.
    """
    with start_lock(data_dir), closing(Lease(data_dir)) as lease:
        if lease.is_only_one():
            _stop_leftovers(data_dir)


def reset(data_dir: Path) -> None:
    """Remove all data of `data_dir`, the logs apart.

    Raises RefusedError while somebody uses the servers, LocalServersError for PostgreSQL data that do not
    look like ours and for what cannot be removed.
    """
    data_dir = prepare_data_directory(data_dir)
    with start_lock(data_dir), closing(Lease(data_dir)) as lease:
        if not lease.is_only_one():
            raise RefusedError(
                f"The servers of {data_dir} are in use; nothing was removed.",
                "Stop what uses them (`ibutsu-tasks up`, tests), then reset.",
            )
        claim_cluster(data_dir / "postgresql")
        _stop_leftovers(data_dir)
        with data_directory_errors(data_dir):
            for name in ("postgresql", "valkey"):
                if (data_dir / name).exists():
                    shutil.rmtree(data_dir / name)


def _stop_leftovers(data_dir: Path) -> None:
    # Without asking how they would be started here: a reset may be the way out of a start that fails.
    record = read_servers_record(data_dir)
    sockets = Path(record.socket_directory) if record else data_dir
    leftovers = [server(data_dir, data_dir, sockets) for server in (Postgresql, Valkey)]
    _stop_all(leftovers, data_dir, STOP_SECONDS)


def _stop_all(servers: Sequence[Server], data_dir: Path, timeout_seconds: float) -> None:
    survivors = [server.title for server in servers if not server.stop(timeout_seconds)]
    if survivors:
        raise LocalServersError(
            f"{' and '.join(survivors)} on {data_dir} could not be stopped.",
            f"Look at the processes and at the logs in {data_dir / 'logs'}.",
        )
    forget_servers(data_dir)
