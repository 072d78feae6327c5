"""Servers before which there are proxies, and a worker that knows the proxies alone."""

from __future__ import annotations

import json
import sys
import tempfile
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import psycopg2
from sqlalchemy import create_engine, func, select, text
from sqlalchemy.engine import make_url
from sqlalchemy.orm import Session

from ibutsu_tasks.broker.connection import build_client
from ibutsu_tasks.broker.layout import UNACKED
from ibutsu_tasks.celery_app import create_client_app
from ibutsu_tasks.ibutsu.database.models import Artifact, Import, Result, Run
from ibutsu_tasks.ibutsu.operations.imports.uploads import StoredUpload, store_upload
from ibutsu_tasks.local.servers.shared import LocalServers
from ibutsu_tasks.sending import messages
from ibutsu_tasks.settings import load_settings
from tests.commands import Running, role, services, until
from tests.conftest import discard
from tests.proxy import Proxy
from tests.sample_files import JUNIT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from uuid import UUID

    from redis import Redis
    from sqlalchemy import Engine

WAIT_SECONDS = 30
IMPATIENT_WORKER = str(Path(__file__).with_name("impatient_worker.py"))
ROOT = str(Path(__file__).parents[2])
SOON = "health_check_interval=2&socket_timeout=3"
"""Options of the broker's URL with which its silence is noticed soon; else it takes a minute."""

LEASE_SECONDS = 4


class Stage:
    """Servers of the chaos tests' own, a proxy before each, and a worker."""

    def __init__(self, servers: LocalServers, database: Proxy, broker: Proxy, env: dict[str, str]) -> None:
        self.env = env
        self.servers, self.database, self.broker = servers, database, broker
        self.worker = self._start_worker()
        self.engine: Engine = create_engine(servers.database_url, pool_pre_ping=True)
        self.client: Redis = build_client(servers.broker_url)
        self.settings = load_settings(
            {"broker_url": servers.broker_url, "database_url": servers.database_url}, environ={}
        )
        self.heard = 0
        self.task_ids: dict[UUID, str] = {}

    def new_output(self) -> list[str]:
        return self.worker.lines[self.heard :]

    def wait_for(self, condition: Callable[[], Any], what: str) -> None:
        until(condition, WAIT_SECONDS)
        assert condition(), f"waited {WAIT_SECONDS} s for {what}:\n" + "\n".join(self.new_output())

    def say(self, statement: str) -> None:
        """Run a statement, outside any transaction, past the proxy."""
        with closing(self.connect()) as connection:
            connection.autocommit = True
            connection.cursor().execute(statement)

    def connect(self) -> psycopg2.extensions.connection:
        """Connect to the database past the proxy."""
        url = make_url(self.servers.database_url)
        return psycopg2.connect(host=url.query["host"], user=url.username, dbname=url.database)

    def store_import(self) -> StoredUpload:
        with Session(self.engine) as session:
            upload = store_upload(session, "a.xml", JUNIT)
            session.commit()
        return upload

    def send(self, upload: StoredUpload) -> UUID:
        app = create_client_app(self.settings)
        self.task_ids[upload.import_id] = messages.send(app, upload.wire_name, [upload.message])
        return upload.import_id

    def outcome_of(self, import_id: UUID) -> str | None:
        state = self.client.get(f"celery-task-meta-{self.task_ids[import_id]}")
        return json.loads(state)["status"] if state else None

    def reason_of(self, import_id: UUID) -> str:
        """Say what the task that is tried again, or has failed, met."""
        return str(json.loads(self.client.get(f"celery-task-meta-{self.task_ids[import_id]}"))["result"])

    def wait_for_retry(self, import_id: UUID) -> None:
        """Wait until the task of an import has met the fault and waits for its end."""
        self.wait_for(lambda: self.outcome_of(import_id) == "RETRY", "a retry")

    def send_import(self) -> UUID:
        return self.send(self.store_import())

    def status_of(self, import_id: UUID) -> str | None:
        with Session(self.engine) as session:
            return session.scalar(select(Import.status).where(Import.id == import_id))

    def rows_of(self, import_id: UUID) -> tuple[int, ...]:
        with Session(self.engine) as session:
            (run_id,) = (session.get_one(Import, import_id).data or {})["run_id"]
            runs = session.scalar(select(func.count()).select_from(Run).where(Run.id == run_id))
            results = select(Result.id).where(Result.run_id == run_id)
            number = session.scalar(select(func.count()).select_from(results.subquery()))
            artifacts = select(func.count()).select_from(Artifact).where(Artifact.result_id.in_(results))
            return runs or 0, number or 0, session.scalar(artifacts) or 0

    def assert_done(self, import_id: UUID) -> None:
        self.wait_for(lambda: self.status_of(import_id) == "done", "the import")
        assert self.rows_of(import_id) == (1, 3, 2)
        assert self.worker.process.poll() is None

    @contextmanager
    def import_underway(self, upload: StoredUpload | None = None) -> Iterator[UUID]:
        """Hold an import between its results and its artifacts; the server may end meanwhile."""
        with closing(self.engine.raw_connection()) as holder:
            holder.cursor().execute("begin; lock table artifacts in exclusive mode")
            import_id = self.send(upload or self.store_import())
            self.wait_for(self._is_waiting, "an import on its way")
            yield import_id
            with suppress(psycopg2.Error):
                holder.rollback()
            if holder.driver_connection.closed:
                holder.invalidate()

    def _is_waiting(self) -> bool:
        waiting = text("select 1 from pg_locks where relation = 'artifacts'::regclass and not granted")
        with self.engine.connect() as watcher:
            return watcher.scalar(waiting) is not None

    @contextmanager
    def second_worker(self, variables: dict[str, str]) -> Iterator[Running]:
        """Have another worker in place of the first one, which consumes nothing meanwhile."""
        control = create_client_app(self.settings).control
        control.cancel_consumer("celery", reply=True, timeout=5)
        with role("worker", "--hostname", "second@%h", env=self.env | variables) as worker:
            worker.wait_for("ready.")
            yield worker
            print(worker.output)  # noqa: T201 - shown when a test fails
        control.add_consumer("celery", reply=True, timeout=5)

    def messages(self) -> bytes:
        """What waits in the queue, and what a worker holds or held."""
        return b"".join([*self.client.lrange("celery", 0, -1), *self.client.hvals("unacked")])

    def count_said(self, words: str) -> int:
        return sum(words in line for line in self.new_output())

    def _start_worker(self) -> Running:
        arguments = ("--concurrency", "2")
        worker = Running(sys.executable, IMPATIENT_WORKER, *arguments, env=self.env)
        worker.wait_for("ready.")
        return worker

    def restore(self) -> None:
        """End every fault; a worker that still has something to do, or has ended, is replaced."""
        self.database.heal()
        self.broker.heal()
        self.servers.restart_ended()
        self.client.config_set("maxmemory", "0")
        self.client.execute_command("REPLICAOF", "NO", "ONE")
        self.say("alter system reset all")
        self.say("select pg_reload_conf()")
        until(self._is_quiet, 10)
        if not self._is_quiet():
            self.replace_worker()

    def _is_quiet(self) -> bool:
        is_idle = not self.client.exists("celery") and not self.client.hlen(UNACKED)
        return is_idle and self.worker.process.poll() is None

    def replace_worker(self) -> None:
        """Have a worker that knows nothing, of no outage either, and a broker without messages."""
        if self.worker.process.poll() is None:
            main = psutil.Process(self.worker.process.pid)
            for process in (main, *main.children(recursive=True)):
                process.kill()
        with self.worker:
            self.worker.stop()
        self.client.flushall()
        self.worker, self.heard = self._start_worker(), 0

    def close(self) -> None:
        with self.worker:
            assert self.worker.stop() == 0
        self.engine.dispose()
        self.client.close()


@contextmanager
def data_directory() -> Iterator[Path]:
    """Have a directory for servers, of which nothing is left."""
    directory = Path(tempfile.mkdtemp(prefix="ibutsu-tasks-test-"))
    try:
        yield directory
    finally:
        discard(directory)


@contextmanager
def open_stage(data_dir: Path) -> Iterator[Stage]:
    """Start servers, which were used before, with proxies and the worker; end them."""
    with LocalServers(data_dir) as servers:
        url = make_url(servers.database_url)
        broker_socket = Path(servers.broker_url.partition("://")[2].partition("?")[0])
        with (
            Proxy(Path(str(url.query["host"])) / ".s.PGSQL.5432") as database,
            Proxy(broker_socket) as broker,
        ):
            address = f"postgresql://{url.username}@127.0.0.1:{database.port}/{url.database}"
            env = services(f"redis://127.0.0.1:{broker.port}/0?{SOON}", address)
            env |= {"IBUTSU_TASKS_LEASE_SECONDS": str(LEASE_SECONDS), "PYTHONPATH": ROOT}
            env |= {"IBUTSU_TASKS_SCRATCH_DIR": str(data_dir)}
            stage = Stage(servers, database, broker, env)
            try:
                yield stage
            finally:
                stage.close()
