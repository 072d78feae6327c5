"""Every import ends: tasks revoked and terminated, queues purged, brokers emptied, fleets killed."""

from __future__ import annotations

import signal
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from sqlalchemy import func, select, update

from ibutsu_tasks.broker.connection import build_client, celery_url
from ibutsu_tasks.broker.job_updates import Listener
from ibutsu_tasks.celery_app import create_broker_celery_app
from ibutsu_tasks.ibutsu.database.models import Artifact, Import, ImportFile, Result, Run
from ibutsu_tasks.ibutsu.operations.imports.uploads import StoredUpload, store_upload
from ibutsu_tasks.ibutsu.wire_names import RECONCILE_IMPORTS
from tests.commands import Running, role, run, services, until
from tests.held_imports import held_artifacts
from tests.sample_files import JUNIT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from celery import Celery
    from redis import Redis
    from sqlalchemy import Engine
    from sqlalchemy.orm import Session

    from ibutsu_tasks.settings import Settings

WAIT_SECONDS = 90
ROOT = Path(__file__).parents[2]
ROWS_OF_JUNIT = [1, 3, 2]
AT_IT, GO_ON = "stock:at-it", "stock:go-on"
"""What a stock worker is at, and the key that lets it go on."""
NO_AGE = {"IBUTSU_TASKS_IMPORT_STUCK_SECONDS": "0.1"}


def wait_for(condition: Callable[[], Any], what: str) -> None:
    until(condition, WAIT_SECONDS)
    assert condition(), f"waited {WAIT_SECONDS} s for {what}"


class Fleet:
    """Servers, a client of Celery's, and the workers a test starts."""

    def __init__(self, settings: Settings, session: Session, client: Redis, app: Celery) -> None:
        self.settings, self.session, self.client, self.app = settings, session, client, app
        self.env = services(settings.require_broker(), settings.require_database()) | NO_AGE

    def worker(self, *options: str) -> Running:
        argv = ("-m", "celery", "-A", "ibutsu_tasks:worker_app", "worker", "-c", "1", *options)
        return Running(sys.executable, *argv, env=self.env)

    def beat(self) -> Running:
        return role("beat", env=self.env)

    def stock_worker(self) -> Running:
        url = celery_url(self.settings.require_broker())
        env = {"CELERY_BROKER_URL": url, "STOCK_REDIS_URL": _plain_redis_url(self.client)}
        env |= {"STOCK_AT_IT": AT_IT, "STOCK_GO_ON": GO_ON}
        argv = (
            "-m",
            "celery",
            "-A",
            "tests.stock_worker",
            "worker",
            "-c",
            "1",
            "-l",
            "INFO",
            "-n",
            "stock@%h",
        )
        return Running(sys.executable, *argv, env=env, cwd=ROOT)

    def store(self, name: str = "a.xml") -> StoredUpload:
        upload = store_upload(self.session, name, JUNIT)
        self.session.commit()
        return upload

    def publish(self, upload: StoredUpload) -> str:
        return str(self.app.send_task(upload.wire_name, (upload.message,)).id)

    def reconcile(self) -> dict[str, int]:
        return dict(self.app.send_task(RECONCILE_IMPORTS).get(timeout=WAIT_SECONDS))

    def row(self, upload: StoredUpload) -> tuple[str | None, Any]:
        self.session.rollback()
        query = select(Import.status, Import.data).where(Import.id == upload.import_id)
        status, data = self.session.execute(query).one()
        return status, (data or {}).get("error")

    def rows(self) -> list[int | None]:
        self.session.rollback()
        return [self.session.scalar(select(func.count()).select_from(one)) for one in (Run, Result, Artifact)]

    def has_content(self, upload: StoredUpload) -> bool:
        query = select(ImportFile.content.is_not(None)).where(ImportFile.import_id == upload.import_id)
        return bool(self.session.scalar(query))


def _plain_redis_url(client: Redis) -> str:
    options = client.connection_pool.connection_kwargs
    return f"unix://{options['path']}?db={options.get('db', 0)}"


@pytest.fixture
def fleet(settings: Settings, session: Session) -> Iterator[Fleet]:
    app = create_broker_celery_app("tests", settings)
    with build_client(settings.require_broker()) as client:
        yield Fleet(settings, session, client, app)
    app.close()


def kill_all(worker: Running) -> None:
    for process in [psutil.Process(worker.process.pid), *psutil.Process(worker.process.pid).children()]:
        process.kill()
    worker.process.wait(15)


def test_an_import_revoked_while_it_is_queued_ends_as_error(fleet: Fleet) -> None:
    upload = fleet.store()
    told: list[str] = []
    with fleet.worker() as worker, closing(Listener(fleet.client)) as listener:
        worker.wait_for(" ready.")
        fleet.app.control.cancel_consumer("celery", reply=True)
        task_id = fleet.publish(upload)
        fleet.app.control.revoke(task_id, reply=True)
        fleet.app.control.add_consumer("celery", reply=True)
        wait_for(lambda: fleet.row(upload)[0] == "error", "the end")
        wait_for(lambda: told.extend(one.status for one in listener.wait(0.1)) or told, "its word")
    assert fleet.row(upload) == ("error", "The import was revoked before it began.")
    assert told == ["error"]
    assert fleet.has_content(upload)
    assert fleet.rows() == [0, 0, 0]


@pytest.mark.parametrize("signal_name", ["SIGTERM", pytest.param("SIGKILL", marks=pytest.mark.soak)])
def test_an_import_terminated_while_it_runs_ends_as_error_and_may_run_again(
    fleet: Fleet, engine: Engine, signal_name: str
) -> None:
    upload = fleet.store()
    with fleet.worker() as worker:
        worker.wait_for(" ready.")
        with held_artifacts(engine) as is_waiting:
            task_id = fleet.publish(upload)
            wait_for(is_waiting, "the import to reach its artifacts")
            fleet.app.control.revoke(task_id, terminate=True, signal=signal_name)
            wait_for(lambda: fleet.row(upload)[0] == "error", "the end")
        assert fleet.row(upload) == ("error", f"The import was terminated while it ran ({signal_name}).")
        assert fleet.has_content(upload)
        assert fleet.rows() == [0, 0, 0]
        assert fleet.reconcile() == {"sent again": 0, "ended": 0, "left alone": 0}

        done = run("imports", "requeue", str(upload.import_id), env=fleet.env)
        assert done.returncode == 0, done.stderr
        wait_for(lambda: fleet.row(upload)[0] == "done", "the second try")
    assert fleet.row(upload) == ("done", None)
    assert fleet.rows() == ROWS_OF_JUNIT


def test_an_import_revoked_while_it_waits_for_its_time_ends_as_error(fleet: Fleet) -> None:
    upload = fleet.store()
    with fleet.worker() as worker:
        worker.wait_for(" ready.")
        task_id = str(fleet.app.send_task(upload.wire_name, (upload.message,), countdown=3).id)
        wait_for(lambda: fleet.client.hlen("unacked"), "the worker to hold it")
        # Delayed, it is alive.
        assert fleet.reconcile() == {"sent again": 0, "ended": 0, "left alone": 1}
        fleet.app.control.revoke(task_id, reply=True)
        wait_for(lambda: fleet.row(upload)[0] == "error", "the end")
    assert fleet.row(upload) == ("error", "The import was revoked before it began.")


@pytest.mark.parametrize(
    ("emptying", "options"),
    [
        ("purge", ()),
        pytest.param("flushall", (), marks=pytest.mark.soak),
        pytest.param("flushall", ("--pool", "solo"), marks=pytest.mark.soak),
    ],
)
def test_imports_whose_messages_are_gone_come_back(
    fleet: Fleet, emptying: str, options: tuple[str, ...]
) -> None:
    uploads = [fleet.store(f"{number}.xml") for number in range(5)]
    for upload in uploads:
        fleet.publish(upload)
    if emptying == "purge":
        assert fleet.app.control.purge() == len(uploads)
    else:
        fleet.client.flushall()
    with fleet.worker(*options) as worker, fleet.beat() as beat:
        worker.wait_for(" ready.")
        beat.wait_for("pidbox: Connected")
        assert fleet.reconcile() == {"sent again": 5, "ended": 0, "left alone": 0}
        wait_for(lambda: all(fleet.row(one)[0] == "done" for one in uploads), "their end")
        assert fleet.reconcile() == {"sent again": 0, "ended": 0, "left alone": 0}
    assert fleet.rows() == [5 * number for number in ROWS_OF_JUNIT]


def test_a_broker_that_comes_back_empty_under_a_running_import_doubles_nothing(
    fleet: Fleet, engine: Engine
) -> None:
    running, waiting = fleet.store("running.xml"), fleet.store("waiting.xml")
    with fleet.worker("-n", "one@%h") as one, fleet.worker("-n", "two@%h") as two:
        one.wait_for(" ready.")
        two.wait_for(" ready.")
        fleet.app.control.cancel_consumer("ibutsu-tasks", reply=True, destination=None)
        with held_artifacts(engine) as is_waiting:
            fleet.publish(running)
            wait_for(is_waiting, "the import to reach its artifacts")
            fleet.client.flushall()
            done = run("imports", "requeue", "--stuck", "--json", env=fleet.env)
            assert done.returncode == 0, done.stderr
            assert '"sent": 1' in done.stdout
            assert "a worker is at it" in done.stdout
            assert fleet.row(running)[0] == "running"
        wait_for(lambda: fleet.row(running)[0] == fleet.row(waiting)[0] == "done", "their end")
    assert fleet.rows() == [2 * number for number in ROWS_OF_JUNIT]
    received = (one.output + two.output).count("run_junit_import[")
    assert received >= 2


@pytest.mark.soak
def test_imports_of_a_fleet_that_was_killed_are_alive_while_held_and_come_back_when_not(
    fleet: Fleet, engine: Engine
) -> None:
    upload = fleet.store()
    with fleet.worker() as worker:
        worker.wait_for(" ready.")
        with held_artifacts(engine) as is_waiting:
            fleet.publish(upload)
            wait_for(is_waiting, "the import to reach its artifacts")
            kill_all(worker)
        wait_for(lambda: not is_locked(fleet, upload), "PostgreSQL to miss its client")
    assert fleet.row(upload)[0] == "running"
    with fleet.worker("-Q", "ibutsu-tasks", "-n", "other@%h") as other:
        other.wait_for(" ready.")
        assert fleet.reconcile() == {"sent again": 0, "ended": 0, "left alone": 1}
        fleet.client.flushall()
        assert fleet.reconcile() == {"sent again": 1, "ended": 0, "left alone": 0}
    with fleet.worker() as new:
        new.wait_for(" ready.")
        wait_for(lambda: fleet.row(upload)[0] == "done", "its end")
    assert fleet.rows() == ROWS_OF_JUNIT


def is_locked(fleet: Fleet, upload: StoredUpload) -> bool:
    fleet.session.rollback()
    query = select(ImportFile.id).where(ImportFile.import_id == upload.import_id)
    found = fleet.session.scalar(query.with_for_update(skip_locked=True))
    fleet.session.rollback()
    return found is None


@pytest.mark.soak
def test_an_import_that_a_stock_worker_runs_is_not_doubled(fleet: Fleet) -> None:
    upload = fleet.store()
    with fleet.stock_worker() as stock:
        stock.wait_for(" ready.")
        fleet.publish(upload)
        wait_for(lambda: fleet.client.llen(AT_IT), "the stock worker to begin")
        wait_for(lambda: not fleet.client.hlen("unacked"), "its early acknowledgement")
        with fleet.worker("-Q", "ibutsu-tasks") as worker:
            worker.wait_for(" ready.")
            assert fleet.reconcile() == {"sent again": 0, "ended": 0, "left alone": 1}

            stock.process.send_signal(signal.SIGSTOP)
            try:
                assert fleet.reconcile() == {"sent again": 0, "ended": 0, "left alone": 1}
                done = run("imports", "requeue", "--stuck", env=fleet.env)
                assert "a worker does not answer, and may be at it" in done.stdout
            finally:
                stock.process.send_signal(signal.SIGCONT)
            fleet.client.set(GO_ON, 1)
            wait_for(lambda: fleet.client.llen(AT_IT) == 0, "its end")
            # The stock task wrote nothing and is over: now the import is lost.
            wait_for(lambda: fleet.reconcile()["sent again"] == 1, "it to be found lost")
    assert fleet.row(upload)[0] == "pending"


@pytest.mark.soak
def test_an_import_that_a_killed_stock_worker_had_comes_back(fleet: Fleet) -> None:
    upload = fleet.store()
    with fleet.stock_worker() as stock:
        stock.wait_for(" ready.")
        fleet.publish(upload)
        wait_for(lambda: fleet.client.llen(AT_IT), "the stock worker to begin")
        wait_for(lambda: not fleet.client.hlen("unacked"), "its early acknowledgement")
        kill_all(stock)
    with fleet.worker() as worker:
        worker.wait_for(" ready.")
        assert fleet.reconcile()["sent again"] == 1
        wait_for(lambda: fleet.row(upload)[0] == "done", "its end")
    assert fleet.rows() == ROWS_OF_JUNIT


def test_an_import_whose_content_is_gone_ends_as_error(fleet: Fleet) -> None:
    upload = fleet.store()
    fleet.session.execute(update(Import).values(status="running"))
    fleet.session.execute(update(ImportFile).values(content=None))
    fleet.session.commit()
    with fleet.worker() as worker:
        worker.wait_for(" ready.")
        assert fleet.reconcile() == {"sent again": 0, "ended": 1, "left alone": 0}
    assert fleet.row(upload) == (
        "error",
        "The content of a.xml is no longer stored; upload the file again.",
    )
