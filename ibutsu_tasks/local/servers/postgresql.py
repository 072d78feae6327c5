"""One embedded PostgreSQL: its options, address and cluster, and the commands that make, start and end it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from contextlib import closing, suppress
from functools import cached_property
from typing import TYPE_CHECKING
from urllib.parse import quote

import psutil
import psycopg2

from ibutsu_tasks.errors import LocalServersError
from ibutsu_tasks.local.processes import launch_detached, wait_until
from ibutsu_tasks.local.servers.binaries import POSTGRESQL_MAJOR
from ibutsu_tasks.local.servers.directories import has_cluster, reset_command
from ibutsu_tasks.local.servers.postgresql_account import Account, choose_account
from ibutsu_tasks.local.servers.server import Server

if TYPE_CHECKING:
    from pathlib import Path

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


class Postgresql(Server):
    """The database server of one data directory."""

    title = "PostgreSQL"
    program = "postgres"
    pid_file = "postmaster.pid"

    @property
    def url(self) -> str:
        """The address of the database `ibutsu` as SQLAlchemy writes it."""
        sockets = quote(str(self.socket_directory), safe="/")
        return f"postgresql+psycopg2://{USER}@/{DATABASE}?host={sockets}"

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
        if has_cluster(self.directory):
            self._check_version()
        else:
            self._create_cluster()
        for leftover in self.socket_directory.glob(".s.PGSQL.*"):
            leftover.unlink(missing_ok=True)
        # A stale note is PostgreSQL's own to clear, after it has looked for processes that still use the
        # data. Only a stranger who has got the pid since would make it refuse to start.
        if psutil.pid_exists(self.noted_pid() or -1):
            (self.directory / self.pid_file).unlink()
        # Root may have started it as another account before. The directory itself comes last, as the mark.
        if os.geteuid() == 0 and self.directory.stat().st_uid != self._account.user_id:
            for path in (*self.directory.rglob("*"), self.directory):
                self._hand_over(path)

    def launch(self) -> int:
        """Start it and give its pid; it does not answer yet."""
        options = [f"--{name}={value}" for name, value in SETTINGS.items()]
        sockets = f"--unix_socket_directories={self.socket_directory}"
        return launch_detached(
            [*self._command("postgres"), "-D", str(self.directory), *options, sockets],
            directory=self.directory,
            log=self.log,
            environment=_environment(),
        )

    def create_database(self) -> None:
        """Create the database `ibutsu` when it is missing."""
        with closing(self._connect("postgres")) as connection, connection.cursor() as cursor:
            connection.autocommit = True
            cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,))
            if cursor.fetchone() is None:
                cursor.execute(f"CREATE DATABASE {DATABASE}")

    def ask_to_end(self) -> None:
        """Ask for a fast shutdown, which ends sessions."""
        self._signal(signal.SIGINT)

    def kill(self) -> bool:
        """End all its processes; say whether they are gone."""
        # This signal lets it end its own processes in order; a killed one leaves them behind.
        self._signal(signal.SIGQUIT)
        wait_until(lambda: self.process() is None, 1)
        return super().kill()

    def _signal(self, number: signal.Signals) -> None:
        if process := self.process():
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)

    @cached_property
    def _account(self) -> Account:
        return choose_account(self.programs / self.program, self.data_dir)

    def _hand_over(self, path: Path) -> None:
        os.chown(path, self._account.user_id, self._account.group_id, follow_symlinks=False)

    def _command(self, program: str) -> list[str]:
        return [*self._account.command_prefix, str(self.programs / program)]

    def _check_version(self) -> None:
        version = (self.directory / "PG_VERSION").read_text(encoding="ascii", errors="replace").strip()
        if version != str(POSTGRESQL_MAJOR):
            raise LocalServersError(
                f"{self.directory} holds data of PostgreSQL {version or '(unknown)'}, "
                f"and PostgreSQL {POSTGRESQL_MAJOR} is installed.",
                "Use the version of ibutsu-tasks that created it to take the data out, or start with "
                f"empty data: {reset_command(self.data_dir)}.",
            )

    def _create_cluster(self) -> None:
        # In a draft first: a start that is killed half-way leaves nothing that looks like a cluster.
        draft = self.directory.with_name(f"{self.directory.name}.new")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700)
        self._hand_over(draft)
        self._initdb(draft)
        draft.rename(self.directory)

    def _initdb(self, draft: Path) -> None:
        options = [f"--username={USER}", "--auth=trust", "--encoding=UTF8", "--locale=C"]
        with self.log.open("ab") as output:
            done = subprocess.run(  # noqa: S603 - a fixed command of ours
                [*self._command("initdb"), *options, "-D", str(draft)],
                check=False,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd="/",
                env=_environment(),
                start_new_session=True,
                timeout=INITDB_TIMEOUT_SECONDS,
            )
        if done.returncode != 0:
            raise OSError(done.returncode, "initdb failed")

    def _connect(self, database: str) -> psycopg2.extensions.connection:
        return psycopg2.connect(
            host=str(self.socket_directory), user=USER, dbname=database, connect_timeout=2
        )


def _environment() -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}
