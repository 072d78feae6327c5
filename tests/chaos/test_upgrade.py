"""Workers replaced one by one under load: nothing is lost, nothing done twice, no task unknown to anybody."""

from __future__ import annotations

import re
import threading
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from ibutsu_tasks.broker.connection import address_of, build_client
from ibutsu_tasks.broker.layout import HOLDERS, QUARANTINE, UNACKED, queue_depth
from ibutsu_tasks.ibutsu.database.models import Import, Result
from ibutsu_tasks.ibutsu.operations.imports.uploads import store_upload
from ibutsu_tasks.ibutsu.signatures import STUBS
from ibutsu_tasks.ibutsu.wire_names import OWN_QUEUE
from ibutsu_tasks.wire_names import DEFAULT_QUEUE
from tests.chaos.conftest import kill_all
from tests.commands import CELERY, Running, role, run, services, until
from tests.worker_system import import_message, message_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Engine

    from tests.chaos.conftest import Fleet

REPORT = b'<testsuite><testcase name="a" time="1"/><testcase name="b" time="1"/></testsuite>'
CASES = 2
PAUSE_SECONDS = 0.1


class Load:
    """Imports that are sent, one after the other, by a thread."""

    def __init__(self, broker_url: str, engine: Engine) -> None:
        self.sent: list[UUID] = []
        self._client, self._engine, self._over = build_client(broker_url), engine, threading.Event()
        self._thread = threading.Thread(target=self._send_on)

    def _send_on(self) -> None:
        while not self._over.wait(PAUSE_SECONDS):
            with Session(self._engine, expire_on_commit=False) as session:
                upload = store_upload(session, f"{len(self.sent)}.xml", REPORT)
                session.commit()
                message = import_message(session.get_one(Import, upload.import_id))
            self._client.lpush(DEFAULT_QUEUE, message_text("importers.run_junit_import", message)[1])
            self.sent.append(upload.import_id)

    @contextmanager
    def going_on(self) -> Iterator[None]:
        self._thread.start()
        try:
            yield
        finally:
            self._over.set()
            self._thread.join()
            self._client.close()


def stock_worker(number: int, env: dict[str, str]) -> Running:
    """A worker of an unmodified server: it knows the server's tasks, and none of our own."""
    names = " ".join(name for name in STUBS if name.startswith("ibutsu_server."))
    own = {"STOCK_TASKS": names, "STOCK_SOCKET": str(address_of(env["CELERY_BROKER_URL"]).path)}
    words = ("--workdir", str(Path(__file__).parent), "-A", "stock_server_worker", "worker")
    options = ("--concurrency", "1", "--hostname", f"stock{number}@here", "-l", "info")
    return Running(CELERY, *words, *options, env={"PYTHONWARNINGS": "ignore"} | env | own)


def previous_worker(number: int, env: dict[str, str]) -> Running:
    """A worker of the previous release, from its own code."""
    return role("worker", "--hostname", f"previous{number}@here", env=env)


def replace_one_by_one(leaving: list[Running], env: dict[str, str], stack: ExitStack) -> list[Running]:
    """Start a new worker for each old one, and end that when the new one is ready."""
    coming = []
    for number, worker in enumerate(leaving):
        coming.append(stack.enter_context(role("worker", "--hostname", f"new{number}@here", env=env)))
        coming[-1].wait_for("ready.")
        if number == 1:
            # What it sends must not meet anybody who does not know it.
            checked = run("deploy", "check", "--workers", "3", "--wait", "30", env=env)
            assert "A task came back from celery in " in " ".join(checked.stdout.split()), checked.stdout
        assert worker.stop() == 0
    return coming


def roll(start_old: Callable[[int], Running], env: dict[str, str], engine: Engine) -> tuple[set[UUID], str]:
    """Replace two workers under load, and wait until all is done. Give the imports and what was said."""
    load = Load(env["CELERY_BROKER_URL"], engine)
    with ExitStack() as stack, build_client(env["CELERY_BROKER_URL"]) as client:
        old = [stack.enter_context(start_old(number)) for number in range(2)]
        stack.enter_context(role("beat", env=env))
        for worker in old:
            worker.wait_for("ready.")
        with load.going_on():
            new = replace_one_by_one(old, env, stack)

        def is_settled() -> bool:
            return not (
                queue_depth(client, DEFAULT_QUEUE) + queue_depth(client, OWN_QUEUE) + client.hlen(UNACKED)
            )

        until(is_settled)
        assert is_settled()
        assert not client.exists(QUARANTINE)
    said = "\n".join(worker.output for worker in (*old, *new))
    assert "unregistered task" not in said
    return set(load.sent), said


def imports_done(session: Session) -> set[UUID]:
    done = set(session.scalars(select(Import.id).where(Import.status == "done")))
    assert session.scalar(select(func.count()).select_from(Result)) == len(done) * CASES
    return done


def test_from_an_unmodified_server(
    broker_url: str, database_url: str, engine: Engine, session: Session
) -> None:
    env = services(broker_url, database_url)
    sent, _ = roll(partial(stock_worker, env=env), env, engine)
    with build_client(broker_url) as client:
        counts = {UUID(name.decode()): int(number) for name, number in client.hgetall("stock-done").items()}
    ours = imports_done(session)
    assert ours
    assert counts
    assert set(counts.values()) == {1}
    # A stock worker that ends before it has acknowledged what it runs puts that back: ours does it once more.
    assert len(ours & counts.keys()) <= 2
    assert ours | counts.keys() == sent


@pytest.mark.soak
def test_from_the_previous_release(
    broker_url: str, database_url: str, engine: Engine, session: Session, previous: dict[str, str]
) -> None:
    env = services(broker_url, database_url)
    start_old = partial(previous_worker, env=env | previous)
    sent, said = roll(start_old, env, engine)
    assert imports_done(session) == sent
    ended = re.findall(r"run_junit_import\[([0-9a-f-]+)\] succeeded", said)
    assert len(ended) == len(set(ended)) == len(sent)


@pytest.mark.soak
@pytest.mark.parametrize("killed", ["previous@here", "new@here"])
def test_workers_of_either_build_are_killed_in_mid_task(
    fleet: Fleet, previous: dict[str, str], killed: str
) -> None:
    env = {"previous@here": previous, "new@here": {}}
    options = ("--concurrency=2", "--", "--prefetch-multiplier=2")
    with ExitStack() as stack:
        workers = {name: stack.enter_context(fleet.worker(name, *options, **env[name])) for name in env}
        with fleet.holding_up("results"):
            # Both run as many as they can and hold as many more.
            rows = [fleet.send_import() for _ in range(8)]
            fleet.wait_until_writing(4)
            until(lambda: fleet.held_by(killed) == 4)
            assert fleet.held_by(killed) == 4
            kill_all(workers[killed])
            until(lambda: not fleet.held_by(killed), 30)
            fleet.release()
            fleet.wait_until_ended(*rows, timeout_seconds=60)
    assert fleet.count_results() == CASES * len(rows)
    assert not fleet.client.exists(UNACKED, QUARANTINE, HOLDERS, DEFAULT_QUEUE)
    assert not fleet.client.keys("ibutsu-tasks:held:*")
