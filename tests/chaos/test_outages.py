"""Services that go away, refuse or fall silent in the middle of an import: it is done all the same, once."""

from __future__ import annotations

import json
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg2
import pytest
from sqlalchemy import create_engine, func, select, text
from sqlalchemy.engine import make_url
from sqlalchemy.orm import Session

from ibutsu_tasks.broker.connection import build_client
from ibutsu_tasks.broker.layout import UNWRITTEN
from ibutsu_tasks.celery_app import create_client_app
from ibutsu_tasks.database.models import Artifact, Import, Result, Run, create_tables
from ibutsu_tasks.local.servers.shared import LocalServers
from ibutsu_tasks.operations.imports.uploads import StoredUpload, store_upload
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


class Stage:
    """Servers of this module's own, a proxy before each, and a worker that knows the proxies alone."""

    def __init__(
        self, servers: LocalServers, database: Proxy, broker: Proxy, worker: Running, env: dict[str, str]
    ) -> None:
        self.env = env
        self.servers, self.database, self.broker, self.worker = servers, database, broker, worker
        self.engine: Engine = create_engine(servers.database_url)
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
        url = make_url(self.servers.database_url)
        connection = psycopg2.connect(host=url.query["host"], user=url.username, dbname=url.database)
        try:
            connection.autocommit = True
            connection.cursor().execute(statement)
        finally:
            connection.close()

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
        """Hold an import between its results and its artifacts."""
        with self.engine.connect() as holder:
            holder.execute(text("lock table artifacts in exclusive mode"))
            import_id = self.send(upload or self.store_import())
            self.wait_for(self._is_waiting, "an import on its way")
            yield import_id

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


@pytest.fixture(scope="module")
def _stage() -> Iterator[Stage]:
    data_dir = Path(tempfile.mkdtemp(prefix="ibutsu-tasks-test-"))
    try:
        with LocalServers(data_dir) as servers:
            url = make_url(servers.database_url)
            engine = create_engine(url)
            create_tables(engine)
            engine.dispose()
            socket = Path(servers.broker_url.partition("://")[2].partition("?")[0])
            with (
                Proxy(Path(str(url.query["host"])) / ".s.PGSQL.5432") as database,
                Proxy(socket) as broker,
            ):
                address = f"postgresql://{url.username}@127.0.0.1:{database.port}/{url.database}"
                env = services(f"redis://127.0.0.1:{broker.port}/0", address)
                with role("worker", "--concurrency", "2", env=env) as worker:
                    worker.wait_for("ready.")
                    stage = Stage(servers, database, broker, worker, env)
                    yield stage
                    assert worker.stop() == 0
                    stage.engine.dispose()
                    stage.client.close()
    finally:
        discard(data_dir)


@pytest.fixture
def stage(_stage: Stage) -> Iterator[Stage]:
    _stage.heard = len(_stage.worker.lines)
    yield _stage
    print("\n".join(_stage.new_output()))  # noqa: T201 - shown when a test fails
    _stage.database.heal()
    _stage.broker.heal()


def test_a_database_out_of_reach(stage: Stage) -> None:
    with stage.import_underway() as import_id:
        stage.database.shut()
        stage.wait_for_retry(import_id)
    others = [stage.send_import() for _ in range(5)]
    for other in others:
        stage.wait_for_retry(other)
    assert stage.count_said("the database is away") == 1
    assert stage.count_said("Retry in") == 0
    stage.database.heal()
    for one in (import_id, *others):
        stage.assert_done(one)
    assert stage.count_said("the database is back after") == 1


def test_sessions_ended_by_an_administrator(stage: Stage) -> None:
    with stage.import_underway() as import_id:
        stage.say("select pg_terminate_backend(pid) from pg_stat_activity where application_name ~ 'worker'")
        stage.wait_for_retry(import_id)
    stage.assert_done(import_id)


def test_connections_that_are_reset(stage: Stage) -> None:
    with stage.import_underway() as import_id:
        stage.database.reset()
        stage.wait_for_retry(import_id)
    stage.assert_done(import_id)


def test_a_slow_database(stage: Stage) -> None:
    stage.database.slow()
    import_id = stage.send_import()
    stage.assert_done(import_id)


def test_a_database_that_takes_no_writes(stage: Stage) -> None:
    upload = stage.store_import()
    stage.say("alter system set default_transaction_read_only = on")
    stage.say("select pg_reload_conf()")
    import_id = stage.send(upload)
    stage.wait_for_retry(import_id)
    assert stage.status_of(import_id) == "pending"
    stage.say("alter system reset default_transaction_read_only")
    stage.say("select pg_reload_conf()")
    stage.assert_done(import_id)


def test_a_broker_out_of_memory(stage: Stage) -> None:
    stage.database.shut()
    import_id = stage.send_import()
    stage.wait_for_retry(import_id)
    stage.client.config_set("maxmemory", "1mb")
    time.sleep(2)
    stage.database.heal()
    time.sleep(3)
    stage.client.config_set("maxmemory", "0")
    stage.assert_done(import_id)
    stage.wait_for(lambda: stage.outcome_of(import_id) == "SUCCESS", "the result")


def test_a_broker_that_takes_no_writes(stage: Stage) -> None:
    upload = stage.store_import()
    with stage.import_underway(upload):
        stage.client.execute_command("REPLICAOF", "127.0.0.1", "1")
        try:
            # Longer than it takes until the lease is to be renewed.
            time.sleep(8)
        finally:
            stage.client.execute_command("REPLICAOF", "NO", "ONE")
    stage.assert_done(stage.send_import())
    # As a reconciliation sends it again; who holds its message may have done so, too.
    stage.assert_done(stage.send(upload))


LIMITS = {"CELERY_TASK_TIME_LIMIT": "5"}


def test_what_could_not_be_written_outlives_its_worker(stage: Stage) -> None:
    with stage.second_worker(LIMITS) as worker, stage.import_underway() as import_id:
        stage.database.hang()
        stage.wait_for(lambda: stage.client.hexists(UNWRITTEN, str(import_id)), "the sentence to be kept")
        worker.process.kill()
    assert stage.status_of(import_id) == "running"
    stage.database.heal()
    stage.wait_for(lambda: stage.status_of(import_id) == "error", "the sentence to be written")
    stage.wait_for(lambda: not stage.client.exists(UNWRITTEN), "the end of it")


def test_a_worker_that_waits_for_its_broker_ends_when_it_is_told_to(stage: Stage) -> None:
    with stage.second_worker({}) as worker:
        stage.database.shut()
        import_id = stage.send_import()
        stage.wait_for_retry(import_id)
        stage.client.config_set("maxmemory", "1")
        until(lambda: "the broker is away" in worker.output, 60)
        started = time.monotonic()
        assert worker.stop() == 0
        assert time.monotonic() - started < 15
        assert stage.task_ids[import_id].encode() in stage.messages()
        stage.client.config_set("maxmemory", "0")
