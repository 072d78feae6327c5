"""One embedded PostgreSQL: its programs, options and cluster; how it is started, adopted and stopped."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from contextlib import closing, suppress
from typing import TYPE_CHECKING
from urllib.parse import quote

import psutil
import psycopg2

from ibutsu_tasks.errors import LocalServersError
from ibutsu_tasks.local.processes import (
    find_process,
    find_processes,
    is_alive,
    kill_processes,
    launch_detached,
    wait_until,
)
from ibutsu_tasks.local.servers.binaries import POSTGRESQL_MAJOR
from ibutsu_tasks.local.servers.directories import (
    check_is_ours,
    has_cluster,
    open_log,
    reset_command,
    restore_mode,
)

if TYPE_CHECKING:
    from pathlib import Path

    from ibutsu_tasks.local.servers.postgresql_account import Placement

USER = "ibutsu"
DATABASE = "ibutsu"

# Small enough for a laptop, and enough connections for a worker with a process per core beside the tests.
SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "shared_buffers": "64MB",
    "max_connections": "60",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
INITDB_TIMEOUT_SECONDS = 120


class Postgresql:
    """The database server of one data directory."""

    title = "PostgreSQL"

    def __init__(self, placement: Placement, data_dir: Path) -> None:
        self._placement = placement
        self._data_dir = data_dir
        self.log = open_log(data_dir, "postgresql")

    @property
    def url(self) -> str:
        """The address of the database `ibutsu` as SQLAlchemy writes it."""
        sockets = quote(str(self._placement.socket_directory), safe="/")
        return f"postgresql+psycopg2://{USER}@/{DATABASE}?host={sockets}"

    @property
    def has_cluster(self) -> bool:
        """Tell whether the data directory of PostgreSQL was created before."""
        return has_cluster(self._placement.cluster)

    def restore_mode(self) -> None:
        """Close its directory to others again. Raises LocalServersError when it is not ours to enter."""
        restore_mode(self._placement.cluster)

    def answers(self) -> bool:
        """Tell whether it serves queries now."""
        try:
            self._connect("postgres").close()
        except psycopg2.OperationalError:
            return False
        return True

    def prepare(self) -> None:
        """Create the cluster when there is none and clear what a dead server left.

        Raises LocalServersError when the data are of another version or cannot be created.
        """
        if self.has_cluster:
            self._check_version()
        else:
            self._create_cluster()
        # Processes of a killed server may still use its memory, and a new one would refuse to start.
        kill_processes(self._all_processes())
        for leftover in self._placement.socket_directory.glob(".s.PGSQL.*"):
            leftover.unlink(missing_ok=True)
        # A stale note is PostgreSQL's own to clear, after it has looked for processes that still use the
        # data. Only a stranger who has got the pid since would make it refuse to start.
        if psutil.pid_exists(self._noted_pid() or -1):
            (self._placement.cluster / "postmaster.pid").unlink()

    def launch(self) -> int:
        """Start it and give its pid; it does not answer yet."""
        options = [f"--{name}={value}" for name, value in SETTINGS.items()]
        sockets = f"--unix_socket_directories={self._placement.socket_directory}"
        return launch_detached(
            [*self._program("postgres"), "-D", str(self._placement.cluster), *options, sockets],
            directory=self._placement.cluster,
            log=self.log,
            environment=_environment(),
            user_id=self._placement.user_id,
            group_id=self._placement.group_id,
        )

    def create_database(self) -> None:
        """Create the database `ibutsu` when it is missing."""
        with closing(self._connect("postgres")) as connection, connection.cursor() as cursor:
            connection.autocommit = True
            cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,))
            if cursor.fetchone() is None:
                cursor.execute(f"CREATE DATABASE {DATABASE}")

    def process(self, pid: int | None = None) -> psutil.Process | None:
        """Give its live first process, found by `pid` or by its own note, or None."""
        return find_process(pid or self._noted_pid(), name="postgres", directory=self._placement.cluster)

    def stop(self, timeout_seconds: float) -> bool:
        """End it by a fast shutdown, kill it when that takes too long; say whether it is gone."""
        process = self.process()
        if process is None:
            return True
        with suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGINT)
        return wait_until(lambda: not is_alive(process), timeout_seconds) or self._kill(process)

    def _kill(self, process: psutil.Process) -> bool:
        # SIGQUIT lets it end its own processes in order; a killed one leaves them behind.
        with suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGQUIT)
        wait_until(lambda: not is_alive(process), 1)
        return kill_processes(self._all_processes())

    def _all_processes(self) -> list[psutil.Process]:
        return find_processes(name="postgres", directory=self._placement.cluster)

    def _check_version(self) -> None:
        version = (
            (self._placement.cluster / "PG_VERSION").read_text(encoding="ascii", errors="replace").strip()
        )
        if version != str(POSTGRESQL_MAJOR):
            raise LocalServersError(
                f"{self._placement.cluster} holds data of PostgreSQL {version or '(unknown)'}, "
                f"and PostgreSQL {POSTGRESQL_MAJOR} is installed.",
                "Use the version of ibutsu-tasks that created it to take the data out, or start with "
                f"empty data: {reset_command(self._data_dir)}.",
            )

    def _create_cluster(self) -> None:
        # In a draft first: a start that is killed half-way leaves nothing that looks like a cluster.
        cluster = self._placement.cluster
        if cluster.exists():
            check_is_ours(cluster)
        draft = cluster.with_name(f"{cluster.name}.new")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700)
        if self._placement.user_id is not None and self._placement.group_id is not None:
            os.chown(draft, self._placement.user_id, self._placement.group_id)
        self._initdb(draft)
        draft.rename(cluster)

    def _initdb(self, draft: Path) -> None:
        options = [f"--username={USER}", "--auth=trust", "--encoding=UTF8", "--locale=C"]
        with self.log.open("ab") as output:
            done = subprocess.run(  # noqa: S603 - a fixed command of ours
                [*self._program("initdb"), *options, "-D", str(draft)],
                check=False,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd="/",
                env=_environment(),
                start_new_session=True,
                timeout=INITDB_TIMEOUT_SECONDS,
                user=self._placement.user_id,
                group=self._placement.group_id,
                extra_groups=None if self._placement.user_id is None else [],
            )
        if done.returncode != 0:
            raise OSError(done.returncode, "initdb failed")

    def _program(self, name: str) -> list[str]:
        return [*self._placement.command_prefix, str(self._placement.programs / "bin" / name)]

    def _noted_pid(self) -> int | None:
        try:
            first_line = (self._placement.cluster / "postmaster.pid").read_text(encoding="utf-8").split()[0]
            return int(first_line)
        except (OSError, ValueError, IndexError):
            return None

    def _connect(self, database: str) -> psycopg2.extensions.connection:
        return psycopg2.connect(
            host=str(self._placement.socket_directory), user=USER, dbname=database, connect_timeout=2
        )


def _environment() -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}
