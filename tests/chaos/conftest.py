"""Workers that are killed, frozen and stopped, with a lease that is short."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from sqlalchemy import Engine, func, select, text

from ibutsu_tasks.broker.connection import build_client
from ibutsu_tasks.broker.layout import HELD_PREFIX, HOLDERS, UNACKED, UNACKED_INDEX
from ibutsu_tasks.ibutsu.database.models import Import, Result
from tests.chaos.stage import Stage, data_directory, open_stage
from tests.commands import Running, environment, role, services, until
from tests.documentation import ROOT
from tests.factories import make_import
from tests.worker_system import import_message, message_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from redis import Redis
    from sqlalchemy.orm import Session

LEASE_SECONDS = 2.0

PREVIOUS = "cef00aba3c91c1fb42bc49aabe026d7c5e1dec3e"
"""The commit whose code stands in for the previous release until there is one: its workers have leases, and
count each message of a lost worker as begun."""

JUNIT = b'<testsuite><testcase name="a" time="1"/><testcase name="b" time="1"/></testsuite>'


class Fleet:
    """Workers on one broker and one database, and what becomes of the messages sent to them."""

    def __init__(self, broker_url: str, database_url: str, session: Session, engine: Engine) -> None:
        self.env = services(broker_url, database_url) | {"IBUTSU_TASKS_LEASE_SECONDS": str(LEASE_SECONDS)}
        self.client: Redis = build_client(broker_url)
        self._let_go: Callable[[], None] = lambda: None
        self.broker_url, self.session, self.engine = broker_url, session, engine

    @contextmanager
    def worker(self, name: str, *options: str, **env: str) -> Iterator[Running]:
        """Run a worker that is ready; nothing of it is left afterwards, whatever state it is in."""
        words = ("--hostname", name, *options, *(() if "--" in options else ("--",)))
        with role("worker", *words, "--without-mingle", env=self.env | env) as running:
            family = [psutil.Process(running.process.pid)]
            try:
                running.wait_for("ready.")
                family += family[0].children(recursive=True)
                yield running
            finally:
                print(running.output)  # noqa: T201 - shown when a test fails
                for process in family:
                    if process.is_running():
                        process.send_signal(signal.SIGCONT)

    def send(self, task: str, *args: str, **kwargs: str) -> str:
        """Put a message on the queue; give the task's id."""
        task_id, message = message_text(task, *args, **kwargs)
        self.client.lpush("celery", message)
        return task_id

    def send_later(self, task: str, seconds: float) -> str:
        """Put a message on the queue that is for later."""
        task_id, text = message_text(task)
        message = json.loads(text)
        message["headers"]["eta"] = (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()
        self.client.lpush("celery", json.dumps(message))
        return task_id

    def send_import(self, cases: int = 2) -> Import:
        """Send an import, small if nothing else is said."""
        extra = b"".join(b'<testcase name="%d" time="1"/>' % number for number in range(cases - 2))
        row = make_import(self.session, JUNIT.replace(b"</testsuite>", extra + b"</testsuite>"))
        self.session.commit()
        self.send("importers.run_junit_import", import_message(row))
        return row

    @contextmanager
    def holding_up(self, table: str) -> Iterator[None]:
        """Have whoever writes to a table wait."""
        with self.engine.connect() as holder:
            holder.execute(text(f"lock table {table} in share mode"))
            self._let_go = holder.rollback
            yield

    def release(self) -> None:
        """Let go on who was held up."""
        self._let_go()

    def waiting_writers(self) -> int:
        """How many connections wait for a lock."""
        waiting = text("select count(*) from pg_stat_activity where wait_event_type = 'Lock'")
        with self.engine.connect() as observer:
            return int(observer.scalar(waiting) or 0)

    def end_writers(self) -> None:
        """End the connections that wait for a lock, as an administrator does."""
        ending = "select pg_terminate_backend(pid) from pg_stat_activity where wait_event_type = 'Lock'"
        with self.engine.connect() as observer:
            observer.execute(text(ending))

    def wait_until_writing(self, number: int = 1) -> None:
        until(lambda: self.waiting_writers() == number, 30)
        assert self.waiting_writers() == number

    def wait_until_done(self, row: Import, timeout_seconds: float = 20) -> None:
        """Wait for an import; its rows are there once, and nothing of its message is left."""

        self.wait_until_ended(row, timeout_seconds=timeout_seconds)
        names = self.session.scalars(select(Result.test_id)).all()
        assert sorted(names) == ["a", "b"]
        until(lambda: not self.client.exists(UNACKED, "celery"), 10)
        assert not self.client.exists(UNACKED, UNACKED_INDEX, "celery")

    def wait_until_ended(self, *rows: Import, timeout_seconds: float = 20) -> None:
        """Wait for imports, which all end well."""
        ids = [row.id for row in rows]

        def statuses() -> set[str | None]:
            self.session.rollback()
            return set(self.session.scalars(select(Import.status).where(Import.id.in_(ids))))

        until(lambda: statuses() == {"done"}, timeout_seconds)
        assert statuses() == {"done"}

    def count_results(self) -> int:
        """Count the results of all imports."""
        self.session.rollback()
        return self.session.scalar(select(func.count()).select_from(Result)) or 0

    def holders(self) -> list[str]:
        return [holder.decode() for holder in self.client.zrange(HOLDERS, 0, -1)]

    def held_by(self, node_name: str) -> int:
        keys = self.client.keys(f"{HELD_PREFIX}{node_name}:*")
        return sum(self.client.hlen(key) for key in keys)

    def outcome(self, task_id: str) -> str | None:
        stored: dict[str, Any] = json.loads(self.client.get(f"celery-task-meta-{task_id}") or b"{}")
        return stored.get("status")


@pytest.fixture
def fleet(broker_url: str, database_url: str, session: Session, engine: Engine) -> Iterator[Fleet]:
    fleet = Fleet(broker_url, database_url, session, engine)
    yield fleet
    fleet.client.close()


@pytest.fixture
def previous(tmp_path: Path) -> dict[str, str]:
    """Variables with which a role, or `tests.fast_beat`, runs the code of the previous release.

    The dependencies are those of today.
    """
    parts = "ibutsu_tasks tests/__init__.py tests/fast_beat.py"
    command = f"git archive {PREVIOUS} {parts} | tar --extract --directory {tmp_path}"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], cwd=ROOT, check=False, capture_output=True
    )
    if done.returncode:
        pytest.skip(f"the history does not reach back to {PREVIOUS}: {done.stderr.decode()}")
    variables = {"PYTHONPATH": str(tmp_path)}
    code = "import ibutsu_tasks; print(ibutsu_tasks.__file__)"
    # Python would look in the working directory first, if the role were not a command.
    found = subprocess.check_output([sys.executable, "-P", "-c", code], env=environment(**variables))
    assert Path(found.decode()).is_relative_to(tmp_path)
    return variables


@pytest.fixture(scope="session")
def _stage(used_data_dir: Path) -> Iterator[Stage]:
    with data_directory() as data_dir:
        shutil.copytree(used_data_dir, data_dir, dirs_exist_ok=True)
        with open_stage(data_dir) as stage:
            yield stage


@pytest.fixture
def stage(_stage: Stage) -> Iterator[Stage]:
    """Servers behind proxies, with a worker; whatever a test leaves is set right after it."""
    _stage.heard = len(_stage.worker.lines)
    yield _stage
    print("\n".join(_stage.new_output()))  # noqa: T201 - shown when a test fails
    _stage.restore()


def kill_all(running: Running) -> None:
    """Kill a worker with its whole family."""
    main = psutil.Process(running.process.pid)
    for process in (main, *main.children(recursive=True)):
        process.kill()
    running.process.wait(10)
