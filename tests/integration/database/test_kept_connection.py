"""A connection kept between lookups is the process's only one, and never in the way."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

from sqlalchemy import text

from ibutsu_tasks.database import engine
from ibutsu_tasks.ibutsu.operations.run_summary import may_exist
from ibutsu_tasks.resources import Resources
from ibutsu_tasks.settings import load_settings
from tests.factories import make_run

if TYPE_CHECKING:
    import pytest
    from sqlalchemy.orm import Session

COUNT_OURS = text("select count(*) from pg_stat_activity where application_name like 'ibutsu-tasks/test%'")


def test_what_is_there_may_be_and_what_is_not_is_not(session: Session, resources: Resources) -> None:
    run = make_run(session)
    assert not may_exist(resources.kept_connection, run.id)
    session.commit()
    assert may_exist(resources.kept_connection, str(run.id))
    assert not may_exist(resources.kept_connection, str(uuid4()))
    assert not may_exist(resources.kept_connection, "no-uuid")


def test_a_session_takes_the_connection_over(session: Session, resources: Resources) -> None:
    for _ in range(2):
        resources.kept_connection.may_find("select 1")
        with resources.session() as own:
            # A transaction again, and without the lookup's limit.
            assert own.scalar(text("show lock_timeout")) == "0"
            assert own.scalar(text("select now()")) == own.scalar(text("select now()"))
            assert session.scalar(COUNT_OURS) == 1
        session.rollback()


def test_it_cannot_tell_while_the_connection_is_lost_and_finds_it_again(
    session: Session, resources: Resources
) -> None:
    assert not resources.kept_connection.may_find("select 1 where false")
    session.execute(
        text(
            "select pg_terminate_backend(pid) from pg_stat_activity "
            "where application_name like 'ibutsu-tasks/test%'"
        )
    )
    assert resources.kept_connection.may_find("select 1 where false")
    assert not resources.kept_connection.may_find("select 1 where false")


def test_it_cannot_tell_without_a_database() -> None:
    settings = load_settings(environ={"SQLALCHEMY_DATABASE_URI": "postgresql://u@127.0.0.1:1/x"})
    assert may_exist(Resources(settings, "test").kept_connection, uuid4())


def test_it_does_not_wait_long_for_a_lock(
    session: Session, resources: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "_WAIT_LITTLE", "SET LOCAL lock_timeout = '50ms'; ")
    session.execute(text("lock table runs in access exclusive mode"))
    assert may_exist(resources.kept_connection, uuid4())
    session.rollback()
    assert not may_exist(resources.kept_connection, uuid4())
