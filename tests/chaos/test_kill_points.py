"""Whatever is killed at whichever point of an import: it is done once, and leaves nothing behind."""

from __future__ import annotations

import tempfile
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import create_engine, func, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from ibutsu_tasks.broker.connection import build_client
from ibutsu_tasks.broker.layout import UNACKED, queue_depth
from ibutsu_tasks.ibutsu.database.models import Artifact, Import, Result, Run, create_tables
from ibutsu_tasks.ibutsu.operations.imports.uploads import store_upload
from ibutsu_tasks.local.servers.shared import LocalServers
from ibutsu_tasks.retention.watch import take_prune_lock
from tests.chaos.fleet import Fleet
from tests.commands import services, until
from tests.conftest import discard
from tests.factories import make_result, make_run
from tests.slow_files import files_left, store_slow_files
from tests.worker_system import import_message, message_text

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator
    from uuid import UUID

    from redis import Redis
    from sqlalchemy import Connection, Engine

CASES = 20
FILES = 2_000
LEASE_SECONDS = 3
REPORT = "<testsuite name='chaos'>{}</testsuite>".format(
    "".join(f"<testcase name='test_{n}'><system-out>{n}</system-out></testcase>" for n in range(CASES))
).encode()
GATE = 4711
BLOCKED = "select count(*) from pg_stat_activity where wait_event_type = 'Lock'"
OPEN_TRANSACTIONS = "select count(*) from pg_stat_activity where state like 'idle in transaction%'"

_WAIT_AT_COMMIT = f"""
create function wait_at_commit() returns trigger language plpgsql as
$$ begin perform pg_advisory_xact_lock_shared({GATE}); return null; end $$;
create constraint trigger wait_at_commit after update on imports deferrable initially deferred
for each row when (new.status = 'done') execute function wait_at_commit()
"""


class Chaos:
    """Two workers on servers that may be killed."""

    def __init__(self, servers: LocalServers, fleet: Fleet, engine: Engine, client: Redis) -> None:
        self.servers, self.fleet, self.engine, self.client = servers, fleet, engine, client

    def store(self) -> tuple[UUID, str, str]:
        """Store an upload as the API server does; give the ids of import and task, and the message."""
        with Session(self.engine, expire_on_commit=False) as session:
            upload = store_upload(session, "report.xml", REPORT)
            session.commit()
            row = session.get_one(Import, upload.import_id)
            return row.id, *message_text("importers.run_junit_import", import_message(row))

    def status_of(self, import_id: UUID) -> str | None:
        with self.engine.connect() as connection:
            return connection.scalar(select(Import.status).where(Import.id == import_id))

    def is_blocked(self) -> bool:
        """Tell whether a worker waits for a lock of the test."""
        with self.engine.connect() as connection:
            return bool(connection.scalar(text(BLOCKED)))

    def is_quiet(self) -> bool:
        """Tell whether no message waits or is held."""
        return queue_depth(self.client, "celery") == 0 == self.client.hlen(UNACKED)

    def files(self) -> int:
        with Session(self.engine) as session:
            return files_left(session)

    def empty(self) -> None:
        """Forget the rows, and what is remembered of losses."""
        with self.engine.begin() as connection:
            connection.execute(text("truncate runs, results, artifacts, imports, import_files"))
        self.client.delete(*(self.client.keys("ibutsu-tasks:losses*") or ["-"]))

    def restart(self) -> None:
        """Start again whatever was killed, as a supervisor does."""
        self.servers.restart_ended()
        self.fleet.restart_what_ended()


@pytest.fixture(scope="module")
def chaos() -> Iterator[Chaos]:
    data_dir = Path(tempfile.mkdtemp(prefix="ibutsu-tasks-test-"))
    try:
        with LocalServers(data_dir) as servers, closing(build_client(servers.broker_url)) as client:
            engine = create_engine(servers.database_url, pool_pre_ping=True)
            create_tables(engine)
            with engine.begin() as connection:
                connection.execute(text(_WAIT_AT_COMMIT))
            env = services(servers.broker_url, servers.database_url)
            with Fleet(
                "worker one", "worker two", env=env | {"IBUTSU_TASKS_LEASE_SECONDS": str(LEASE_SECONDS)}
            ) as fleet:
                fleet.wait_until_ready()
                yield Chaos(servers, fleet, engine, client)
                for process in [*fleet.ended, *fleet.running.values()]:
                    print(process.output, "\n")  # noqa: T201 - shown when a test fails
            engine.dispose()
    finally:
        discard(data_dir)


def _row(connection: Connection, import_id: UUID) -> None:
    connection.execute(text("select 1 from imports where id = :id for update"), {"id": import_id})


def _table(name: str) -> Callable[[Connection, UUID], None]:
    def lock(connection: Connection, _: UUID) -> None:
        connection.execute(text(f"lock table {name} in share mode"))

    return lock


def _gate(connection: Connection, _: UUID) -> None:
    connection.execute(text(f"select pg_advisory_xact_lock({GATE})"))


POINTS: dict[str, Callable[[Connection, UUID], None]] = {
    "before it is marked as running": _row,
    "before the row of its run": _table("runs"),
    "while results are copied": _table("results"),
    "while artifacts are copied": _table("artifacts"),
    "at its commit": _gate,
}
"""What the test locks so that the import waits there."""

VICTIMS: dict[str, Callable[[Chaos, str], object]] = {
    "the worker": lambda chaos, holder: chaos.fleet.kill(holder),
    "its pool process": lambda chaos, holder: chaos.fleet.kill(holder, main=False, children=True),
    "both": lambda chaos, holder: chaos.fleet.kill(holder, children=True),
    "the database": lambda chaos, _: chaos.servers.postgresql.kill(),
    "the broker": lambda chaos, _: chaos.servers.valkey.kill(),
}

MARKED_VICTIMS = [pytest.param(name, marks=pytest.mark.soak) if name == "both" else name for name in VICTIMS]

SERVICES = {"the database", "the broker"}


def killings(points: Iterable[str], with_services: Collection[str]) -> list[Any]:
    """Every victim at every point; the services at some alone, unless there is time for all."""
    return [
        pytest.param(
            point,
            victim,
            marks=pytest.mark.soak
            if victim == "both" or (victim in SERVICES and point not in with_services)
            else (),
        )
        for point in points
        for victim in VICTIMS
    ]


@contextmanager
def held_by(chaos: Chaos, obstacle: Callable[[Connection, UUID], None], import_id: UUID) -> Iterator[None]:
    """Hold what the import needs, until it no longer matters or the database is gone."""
    connection = chaos.engine.connect()
    try:
        obstacle(connection, import_id)
        yield
    finally:
        with suppress(DBAPIError):
            connection.rollback()
        connection.invalidate()
        connection.close()


def assert_done_once(chaos: Chaos, import_id: UUID, task_id: str) -> None:
    """Wait until the import has ended; hold what it left against what a single undisturbed one leaves."""

    def has_ended() -> bool:
        chaos.restart()
        return chaos.status_of(import_id) in {"done", "error"} and chaos.is_quiet()

    until(has_ended, 90)
    with Session(chaos.engine) as session:
        row = session.get_one(Import, import_id)
        assert (row.status, row.data.get("error")) == ("done", None)
        for model, wanted in ((Run, 1), (Result, CASES), (Artifact, CASES)):
            assert session.scalar(select(func.count()).select_from(model)) == wanted, model
        assert (session.scalars(select(Run.summary)).one() or {})["tests"] == CASES
        assert session.scalar(text(OPEN_TRANSACTIONS)) == 0
    assert chaos.fleet.received(task_id) <= 10
    chaos.empty()


@pytest.mark.parametrize(("point", "victim"), killings(POINTS, {"while results are copied", "at its commit"}))
def test_an_import_is_done_once(chaos: Chaos, point: str, victim: str) -> None:
    chaos.restart()
    chaos.fleet.wait_until_ready()
    import_id, task_id, message = chaos.store()
    with held_by(chaos, POINTS[point], import_id):
        chaos.client.lpush("celery", message)
        holder = chaos.fleet.holder_of(task_id)
        until(chaos.is_blocked)
        assert chaos.is_blocked()
        VICTIMS[victim](chaos, holder)
    assert_done_once(chaos, import_id, task_id)


@pytest.mark.parametrize("victim", ["the worker", "both"])
def test_a_message_on_its_way_to_a_worker_is_not_lost(chaos: Chaos, victim: str) -> None:
    """A worker that is frozen has asked for the next message and cannot answer for it."""
    chaos.restart()
    chaos.fleet.wait_until_ready()
    frozen = [chaos.fleet.main(name) for name in chaos.fleet.running]
    for process in frozen:
        process.suspend()
    import_id, task_id, message = chaos.store()
    chaos.client.lpush("celery", message)
    VICTIMS[victim](chaos, "worker one")
    frozen[1].resume()
    assert_done_once(chaos, import_id, task_id)


@pytest.mark.parametrize(
    ("point", "victim"),
    killings(["before it has the lock", "between its batches"], {"between its batches"}),
)
def test_a_prune_deletes_all_that_is_due(chaos: Chaos, point: str, victim: str) -> None:
    chaos.restart()
    chaos.fleet.wait_until_ready()
    with Session(chaos.engine) as session, Session(chaos.engine) as other:
        store_slow_files(session, FILES)
        task_id, message = message_text("db.prune_old_files", "3")
        if point == "before it has the lock":
            take_prune_lock(other)
        chaos.client.lpush("celery", message)
        holder = chaos.fleet.holder_of(task_id)
        until(lambda: point == "before it has the lock" or files_left(session) < FILES)
        VICTIMS[victim](chaos, holder)
        for one in (other, session):
            one.invalidate()

    def has_ended() -> bool:
        chaos.restart()
        return chaos.files() == 0 and chaos.is_quiet()

    until(has_ended, 90)
    assert (chaos.files(), chaos.is_quiet()) == (0, True)
    with chaos.engine.begin() as connection:
        connection.execute(text("drop trigger slow on artifacts; drop function sleep_a_while"))


@pytest.mark.parametrize("victim", MARKED_VICTIMS)
def test_a_summary_is_right_in_the_end(chaos: Chaos, victim: str) -> None:
    chaos.restart()
    chaos.fleet.wait_until_ready()
    with Session(chaos.engine) as session:
        run = make_run(session)
        make_result(session, run)
        session.commit()
        run_id = run.id
    task_id, message = message_text("runs.update_run", f'"{run_id}"')
    with held_by(chaos, POINTS["before the row of its run"], run_id):
        chaos.client.lpush("celery", message)
        holder = chaos.fleet.holder_of(task_id)
        until(chaos.is_blocked)
        assert chaos.is_blocked()
        VICTIMS[victim](chaos, holder)

    def tests() -> int | None:
        chaos.restart()
        with Session(chaos.engine) as session:
            return (session.get_one(Run, run_id).summary or {}).get("tests")

    until(lambda: tests() == 1 and chaos.is_quiet(), 90)
    assert (tests(), chaos.is_quiet()) == (1, True)
    chaos.empty()
