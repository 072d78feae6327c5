"""What a benchmark runs on: the embedded servers, fresh databases, and real workers."""

from __future__ import annotations

import itertools
import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import psutil
import psycopg2
from sqlalchemy import create_engine
from sqlalchemy.engine import make_url
from sqlalchemy.orm import Session

from ibutsu_tasks.broker.connection import build_client
from ibutsu_tasks.ibutsu.database.models import create_tables
from tests.benchmarks.measuring import peak_rss_bytes
from tests.commands import PROGRAM, environment, services
from tests.worker_system import message_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sqlalchemy import Engine

    from ibutsu_tasks.local.servers.shared import LocalServers

ROOT = Path(__file__).parents[2]

REDIS_DATABASES = 16
"""Valkey's default number."""

READY_TIMEOUT_SECONDS = 60
STOP_TIMEOUT_SECONDS = 30
POLL_SECONDS = 0.002


class BenchWorker:
    """A worker in processes of its own; its log goes to a file, for reading it would cost a core."""

    def __init__(self, argv: list[str], env: Mapping[str, str], log: Path) -> None:
        self.log = log
        start = time.perf_counter()
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                argv,
                env=environment(PYTHONPATH=str(ROOT), **env),
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            self._wait_until_ready()
        except BaseException:
            self.stop()
            raise
        self.start_seconds = time.perf_counter() - start

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + READY_TIMEOUT_SECONDS
        while b" ready." not in self.log.read_bytes():
            assert self.process.poll() is None, self.log.read_text(errors="replace")
            assert time.monotonic() < deadline, "the worker did not get ready"
            time.sleep(POLL_SECONDS)

    @property
    def child_pids(self) -> list[int]:
        """The processes that run the tasks."""
        return [child.pid for child in psutil.Process(self.process.pid).children(recursive=True)]

    @property
    def pids(self) -> list[int]:
        """Parent and children."""
        return [self.process.pid, *self.child_pids]

    def peak_rss_bytes(self) -> int:
        """Give the peak of the largest of its processes."""
        return peak_rss_bytes(*self.pids)

    def seconds_of(self, task_id: str) -> float:
        """Give the time a task took, as the worker's log tells it."""
        told = re.compile(rf"\[{task_id}\] succeeded in ([0-9.e-]+)s")
        deadline = time.monotonic() + READY_TIMEOUT_SECONDS
        while not (found := told.search(self.log.read_text(errors="replace"))):
            assert time.monotonic() < deadline, f"{task_id} did not succeed"
            time.sleep(POLL_SECONDS)
        return float(found[1])

    def stop(self) -> None:
        """End it in order, or by force when that takes too long."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(STOP_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


class BenchSystem:
    """A database and a Redis database of one side, both fresh, and the workers on them."""

    def __init__(self, broker_url: str, database_url: str, engine: Engine, log_directory: Path) -> None:
        self.broker_url = broker_url
        self.database_url = database_url
        self.engine = engine
        self.client = build_client(broker_url)
        self._log_directory = log_directory

    @property
    def env(self) -> dict[str, str]:
        """The variables that name both services."""
        return services(self.broker_url, self.database_url)

    @contextmanager
    def session(self) -> Iterator[Session]:
        """Give a session; nothing is committed unless the caller does."""
        with Session(self.engine, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def worker(self, *options: str, **variables: str) -> Iterator[BenchWorker]:
        """Run `ibutsu-tasks worker` until the block ends; it is ready when the block begins."""
        with self.process([PROGRAM, "worker", *options], **variables) as running:
            yield running

    @contextmanager
    def celery(self, app: str, *options: str, **variables: str) -> Iterator[BenchWorker]:
        """Run Celery's own worker on `module:attribute`, which must import on its own."""
        with self.process(
            [sys.executable, "-m", "celery", "-A", app, "worker", *options], **variables
        ) as running:
            yield running

    @contextmanager
    def process(self, argv: list[str], **variables: str) -> Iterator[BenchWorker]:
        """Run any worker that says ` ready.` in its log."""
        log = self._log_directory / f"worker-{uuid4().hex}.log"
        running = BenchWorker(argv, self.env | variables, log)
        try:
            yield running
        finally:
            running.stop()

    def publish(self, task: str, *args: Any) -> str:
        """Put one message on the queue as the API server does, arguments as JSON values; give its id."""
        task_id, message = message_text(task, *map(json.dumps, args))
        self.client.lpush("celery", message)
        return task_id

    def wait_for_result(self, task_id: str, timeout_seconds: float = 600) -> bytes:
        """Wait for a task's result; give it as Celery stores it."""
        key = f"celery-task-meta-{task_id}"
        deadline = time.monotonic() + timeout_seconds
        # A running import tells there how far it is.
        while (stored := self.client.get(key)) is None or b'"status": "STARTED"' in stored:
            assert time.monotonic() < deadline, f"{task_id} has not ended"
            time.sleep(POLL_SECONDS)
        assert isinstance(stored, bytes)
        return stored


class Bench:
    """The embedded servers; every benchmark takes from it what it needs fresh."""

    def __init__(self, servers: LocalServers) -> None:
        self.servers = servers
        self._numbers = itertools.count(1)
        assert self._execute("show fsync") == "on"

    @contextmanager
    def system(self, template_url: str | None = None) -> Iterator[BenchSystem]:
        """Give a fresh database, as `database` does, and an empty Redis database."""
        number = next(self._numbers)
        with self.database(template_url) as database_url:
            engine = create_engine(database_url)
            broker_url = self.servers.broker_url.replace(
                "virtual_host=0", f"virtual_host={number % REDIS_DATABASES}"
            )
            system = BenchSystem(broker_url, database_url, engine, self.servers.data_dir)
            system.client.flushdb()
            try:
                yield system
            finally:
                system.client.flushdb()
                system.client.close()
                engine.dispose()

    @contextmanager
    def database(self, template_url: str | None = None) -> Iterator[str]:
        """Give the address of a fresh database with the contract's tables and indexes, or of a copy.

        Nobody may be connected to the template; the copy is on the disk when it is given.
        """
        name = f"bench_{next(self._numbers)}"
        template = make_url(template_url).database if template_url else "template0"
        self._execute(f"create database {name} template {template} strategy file_copy")
        url = make_url(self.servers.database_url).set(database=name)
        try:
            if template_url is None:
                engine = create_engine(url)
                create_tables(engine)
                engine.dispose()
            yield url.render_as_string(hide_password=False)
        finally:
            self._execute(f"drop database {name} with (force)")

    def postgresql_version(self) -> str:
        """Give the server's version, such as 16.2."""
        return str(self._execute("show server_version"))

    def valkey_version(self) -> str:
        """Give the server's version, such as 9.1.2."""
        client = build_client(self.servers.broker_url)
        try:
            found: Any = client.info("server")
            return str(found.get("valkey_version") or found["redis_version"])
        finally:
            client.close()

    def _execute(self, statement: str) -> Any:
        url = make_url(self.servers.database_url)
        connection = psycopg2.connect(host=url.query["host"], user=url.username, dbname=url.database)
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement)
                return cursor.fetchone()[0] if cursor.description else None
        finally:
            connection.close()
