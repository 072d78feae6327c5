"""For tests of task packages, by `pytest_plugins = ["ibutsu_tasks.testing"]`: a system on real servers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from ibutsu_tasks.database.tables import create_tables
from ibutsu_tasks.local.servers.shared import LocalServers

if TYPE_CHECKING:
    from collections.abc import Iterator

WAIT_SECONDS = 60


class System:
    """PostgreSQL and Valkey with the tables of all task packages; workers are started with `worker`."""

    def __init__(self, servers: LocalServers) -> None:
        self.broker_url, self.database_url = servers.broker_url, servers.database_url
        self.environment = {
            **os.environ,
            "CELERY_BROKER_URL": self.broker_url,
            "SQLALCHEMY_DATABASE_URI": self.database_url,
        }

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `ibutsu-tasks` with these arguments on the system, and give what came of it."""
        return subprocess.run(  # noqa: S603 - a test starts what it names
            [sys.executable, "-m", "ibutsu_tasks", *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=2 * WAIT_SECONDS,
        )

    @contextmanager
    def worker(self, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
        """Run a worker while the block runs."""
        program = [sys.executable, "-m", "ibutsu_tasks", "worker", *arguments]
        process = subprocess.Popen(program, env=self.environment)  # noqa: S603 - as above
        try:
            yield process
        finally:
            process.terminate()
            process.wait(WAIT_SECONDS)

    def run(self, task: str, **arguments: Any) -> Any:
        """Send a task and give its result, within a minute. Raises AssertionError when it fails."""
        done = self.command(
            "enqueue", task, "--args", json.dumps(arguments), "--wait", str(WAIT_SECONDS), "--json"
        )
        assert done.returncode == 0, done.stdout + done.stderr  # noqa: S101 - the test fails
        return json.loads(done.stdout)["result"]

    @contextmanager
    def session(self) -> Iterator[Session]:
        """Give a session of SQLAlchemy on the database, committed at the end of the block."""
        engine = create_engine(self.database_url)
        with Session(engine) as session, session.begin():
            yield session
        engine.dispose()


@pytest.fixture(scope="session")
def system() -> Iterator[System]:
    """Start the servers once for all tests, and make the tables."""
    with (
        tempfile.TemporaryDirectory(prefix="ibutsu-tasks-test-", ignore_cleanup_errors=True) as directory,
        LocalServers(Path(directory) / "data") as servers,
    ):
        engine = create_engine(servers.database_url)
        create_tables(engine)
        engine.dispose()
        yield System(servers)
