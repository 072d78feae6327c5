"""A server that falls silent in the middle of a statement is given up; one that takes long is not."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from sqlalchemy import Engine, select, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from ibutsu_tasks.database import silence
from ibutsu_tasks.database.engine import build_engine
from ibutsu_tasks.ibutsu.database.copying import copy_rows
from ibutsu_tasks.ibutsu.database.models import Run
from ibutsu_tasks.temporary_errors import is_temporary
from tests.commands import until
from tests.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def proxy(database_url: str) -> Iterator[Proxy]:
    with Proxy(Path(str(make_url(database_url).query["host"])) / ".s.PGSQL.5432") as proxy:
        yield proxy


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch, database_url: str, proxy: Proxy) -> Iterator[Engine]:
    """An engine that asks after a tenth of a second; the server is before the proxy."""
    monkeypatch.setattr(silence, "_watcher", None)  # one of an earlier test may sleep for long
    monkeypatch.setattr(silence, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(silence, "PATIENCE_SECONDS", 0.1)
    monkeypatch.setattr(silence, "ANSWER_SECONDS", 1.0)
    url = make_url(database_url)
    engine = build_engine(url.set(host="127.0.0.1", port=proxy.port, query={}).render_as_string(), "test")
    yield engine
    engine.dispose()


@contextmanager
def falling_silent(engine: Engine, fall_silent: Callable[[], None], query: str) -> Iterator[None]:
    """Have the server fall silent once a statement runs there that is like `query`."""
    running = text("select 1 from pg_stat_activity where query ilike :query and pid <> pg_backend_pid()")

    def wait_and_fall_silent() -> None:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as observer:
            until(lambda: observer.scalar(running, {"query": query}), 30)
        fall_silent()

    thread = threading.Thread(target=wait_and_fall_silent)
    thread.start()
    try:
        yield
    finally:
        thread.join()


@pytest.mark.parametrize("fault", ["hang", "one_way"])
def test_a_statement_without_an_answer(engine: Engine, impatient: Engine, proxy: Proxy, fault: str) -> None:
    with (
        falling_silent(engine, getattr(proxy, fault), "select pg_sleep%"),
        pytest.raises(DBAPIError, match="fell silent") as caught,
        impatient.connect() as connection,
    ):
        connection.execute(text("select pg_sleep(600)"))
    assert is_temporary(caught.value)
    assert caught.value.connection_invalidated
    proxy.heal()
    with impatient.connect() as connection:
        assert connection.scalar(text("select 1")) == 1


def test_a_copy_without_an_answer(engine: Engine, impatient: Engine, proxy: Proxy) -> None:
    empty = dict.fromkeys(column.name for column in Run.__table__.columns)

    def rows() -> Iterator[dict[str, object]]:
        for number in range(10_000):  # more than the buffers on the way take
            if number == 100:
                proxy.hang()
            yield empty | {"id": uuid4(), "data": {"text": "x" * 10_000}}

    with pytest.raises(DBAPIError, match="fell silent") as caught, Session(impatient) as session:
        copy_rows(session, Run, rows())
    assert is_temporary(caught.value)
    proxy.heal()
    with Session(engine) as session:
        assert session.scalar(select(Run.id)) is None


def test_a_pooled_connection_that_fell_silent_is_replaced(impatient: Engine, proxy: Proxy) -> None:
    with impatient.connect() as connection:
        connection.execute(text("select 1"))
    proxy.hang()
    timer = threading.Timer(0.5, proxy.heal)
    timer.start()
    with impatient.connect() as connection:
        assert connection.scalar(text("select 1")) == 1
    timer.join()


def test_a_long_statement_is_left_alone(engine: Engine, impatient: Engine) -> None:
    with impatient.connect() as connection:
        # Nobody else gets in meanwhile, which is an answer, too.
        name = connection.scalar(text("select current_database()"))
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as other:
            other.execute(text(f"alter database {name} connection limit 0"))
        engine.dispose()
        assert connection.scalar(text("select 1 from pg_sleep(1.5)")) == 1
