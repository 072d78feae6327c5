"""Lost imports are found, and only those: messages lie in a real Redis, rows in a real PostgreSQL."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from ibutsu_tasks.broker import whereabouts
from ibutsu_tasks.broker.connection import build_client
from ibutsu_tasks.broker.layout import REQUEUE_LOCK, redis_lists
from ibutsu_tasks.broker.reconciliation import Fate, Message, Reconciler
from ibutsu_tasks.broker.whereabouts import Broker
from ibutsu_tasks.doctor import examine
from ibutsu_tasks.errors import BusyError
from ibutsu_tasks.ibutsu.database.models import Import, ImportFile
from ibutsu_tasks.ibutsu.operations.imports.reconciliation import MAX_TIMES, ImportRows
from ibutsu_tasks.ibutsu.operations.imports.uploads import message_of
from ibutsu_tasks.ibutsu.wire_names import RUN_ARCHIVE_IMPORT, RUN_JUNIT_IMPORT
from tests.factories import make_import, make_run, utc_now
from tests.sample_files import ARCHIVE, JUNIT
from tests.worker_system import import_message, message_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis import Redis
    from sqlalchemy import Engine

    from ibutsu_tasks.resources import Resources
    from ibutsu_tasks.settings import Settings

AGE_SECONDS = 600


class Desk:
    """A reconciler whose messages are kept in a list, and the rows it decides on."""

    def __init__(self, reconciler: Reconciler, sent: list[Message], session: Session) -> None:
        self.reconciler, self.sent, self.session = reconciler, sent, session

    def make(self, content: bytes | None = JUNIT, **columns: Any) -> Import:
        created = utc_now() - timedelta(seconds=AGE_SECONDS + 60)
        row = make_import(self.session, content, **{"created": created} | columns)
        self.session.commit()
        return row

    def reconcile(self) -> list[tuple[Fate, str]]:
        return [(one.fate, one.reason) for one in self.reconciler.requeue_stuck(AGE_SECONDS)]

    def state(self, row: Import) -> tuple[str | None, Any]:
        self.session.rollback()
        self.session.refresh(row)
        return row.status, row.data


@pytest.fixture
def client(broker_url: str) -> Iterator[Redis]:
    with build_client(broker_url) as client:
        yield client


@pytest.fixture
def desk(resources: Resources, client: Redis, session: Session, monkeypatch: pytest.MonkeyPatch) -> Desk:
    # What the pause is for, messages on their way, does not happen here.
    monkeypatch.setattr(whereabouts, "PAUSE_SECONDS", 0.0)
    sent: list[Message] = []
    broker = Broker(client, resources.settings.require_broker(), ("celery", "other"))
    return Desk(Reconciler(ImportRows(), resources.session, broker, sent.append), sent, session)


def message(row: Import) -> str:
    return message_text("importers.run_junit_import", import_message(row))[1]


@pytest.mark.parametrize("status", ["pending", "running"])
def test_a_lost_import_is_sent_again_as_the_api_server_sends_it(desk: Desk, status: str) -> None:
    junit, archive = desk.make(status=status), desk.make(ARCHIVE, filename="a.tar.gz", status=status)
    assert desk.reconcile() == [(Fate.SENT, "its message was nowhere.")] * 2
    assert desk.state(junit) == desk.state(archive) == ("pending", {"sent_again": 1})
    assert [one.task for one in desk.sent] == [RUN_JUNIT_IMPORT, RUN_ARCHIVE_IMPORT]
    assert [one.args for one in desk.sent] == [(message_of(junit),), (message_of(archive),)]


def test_young_and_ended_imports_are_not_looked_at(desk: Desk) -> None:
    desk.make(created=utc_now())
    desk.make(status="done")
    desk.make(status="error")
    assert desk.reconcile() == []


@pytest.mark.parametrize("name", [*redis_lists("celery"), *redis_lists("other")])
def test_an_import_that_waits_in_any_queue_is_alive(desk: Desk, client: Redis, name: str) -> None:
    row = desk.make()
    # More than one piece of what is read at a time, with what is no message among it.
    client.rpush(name, *["no message", "[]", '{"body": 1}'] * 400, message(row), *["{}"] * 10)
    assert desk.reconcile() == [(Fate.LEFT, "it waits in a queue.")]
    assert desk.sent == []


def test_an_import_in_a_queue_known_by_its_binding_alone_is_alive(desk: Desk, client: Redis) -> None:
    client.sadd("_kombu.binding.slow", "slow\x06\x16\x06\x16slow")
    client.lpush("slow", message(desk.make()))
    assert desk.reconcile() == [(Fate.LEFT, "it waits in a queue.")]


def test_an_import_whose_message_somebody_holds_is_alive(desk: Desk, client: Redis) -> None:
    row = desk.make(status="running")
    client.hset("unacked", "a-tag", json.dumps([json.loads(message(row)), "", "celery"]))
    client.hset("unacked", "b-tag", "nothing")
    assert desk.reconcile() == [(Fate.LEFT, "a worker holds its message.")]


def test_an_import_whose_content_another_transaction_has_is_alive(desk: Desk, engine: Engine) -> None:
    row = desk.make(status="running")
    with Session(engine) as holder:
        holder.scalars(select(ImportFile).where(ImportFile.import_id == row.id).with_for_update()).one()
        assert desk.reconcile() == [(Fate.LEFT, "it runs right now.")]
    assert desk.state(row)[0] == "running"


def test_an_import_that_ends_meanwhile_stays_ended(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    row = desk.make(status="running")
    find = Broker.find

    def find_late(self: Broker, ids: Any) -> Any:
        found = find(self, ids)
        desk.session.execute(update(Import).values(status="done"))
        desk.session.commit()
        return found

    monkeypatch.setattr(Broker, "find", find_late)
    assert desk.reconcile() == [(Fate.LEFT, "it has ended as done.")]
    assert desk.state(row)[0] == "done"
    assert desk.sent == []


def test_without_content_it_ends_as_error_or_as_done_where_its_run_is(desk: Desk) -> None:
    gone = desk.make(None, filename="gone.xml", status="running")
    run = make_run(desk.session)
    done = desk.make(None, status="running", data={"run_id": [str(run.id)]})
    sentence = "The content of gone.xml is no longer stored; upload the file again."
    assert desk.reconcile() == [
        (Fate.ENDED, f"as error: {sentence}"),
        (Fate.ENDED, "as done: its run is there."),
    ]
    assert desk.state(gone) == ("error", {"error": sentence})
    assert desk.state(done)[0] == "done"


def test_what_is_lost_again_and_again_ends_as_error(desk: Desk) -> None:
    row = desk.make()
    for _ in range(MAX_TIMES):
        assert [fate for fate, _ in desk.reconcile()] == [Fate.SENT]
    assert [fate for fate, _ in desk.reconcile()] == [Fate.ENDED]
    assert "was lost 4 times" in desk.state(row)[1]["error"]
    assert len(desk.sent) == MAX_TIMES
    # Asked for by hand, it begins anew.
    [decision] = desk.reconciler.requeue([row.id])
    assert decision.fate is Fate.SENT
    assert desk.state(row) == ("pending", {})


def test_two_at_once_do_not_double(desk: Desk, client: Redis) -> None:
    desk.make()
    with client.lock(REQUEUE_LOCK.format("imports"), timeout=10), pytest.raises(BusyError):
        desk.reconcile()
    assert desk.sent == []
    assert [fate for fate, _ in desk.reconcile()] == [Fate.SENT]
    assert not client.exists(REQUEUE_LOCK.format("imports"))


def test_a_dry_run_changes_nothing(desk: Desk) -> None:
    row = desk.make()
    dry = replace(desk.reconciler, dry_run=True)
    assert [one.fate for one in dry.requeue_stuck(AGE_SECONDS)] == [Fate.SENT]
    assert desk.state(row) == ("pending", {})
    assert desk.sent == []


def test_ids_that_need_nothing_are_told_why(desk: Desk) -> None:
    done, unknown = desk.make(status="done"), uuid4()
    reasons = [one.reason for one in desk.reconciler.requeue([done.id, unknown])]
    assert reasons == ["it has ended as done.", "there is no such import."]


def test_the_doctor_tells_of_them(desk: Desk, settings: Settings) -> None:
    def codes() -> list[str]:
        return [item.code for item in examine(settings, ["imports"]).findings]

    assert codes() == ["IBT-I00"]
    desk.make()
    assert codes() == ["IBT-I01"]
    desk.reconcile()
    assert codes() == ["IBT-I11"]
