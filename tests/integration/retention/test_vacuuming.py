from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from ibutsu_tasks.errors import DatabaseUnreachableError
from ibutsu_tasks.retention.vacuum import PROBLEMS, vacuum
from tests.doors import dead_port
from tests.factories import make_result, make_run

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from sqlalchemy.orm import Session


def rows_known(session: Session) -> float:
    return float(session.scalar(text("select reltuples from pg_class where relname = 'results'")) or 0)


def test_the_tables_are_vacuumed_and_analyzed_and_told(engine: Engine, session: Session) -> None:
    run = make_run(session)
    for _ in range(3):
        make_result(session, run)
    session.commit()
    assert rows_known(session) == -1
    session.commit()
    told: list[str] = []
    done = list(vacuum(engine, ["results", "runs"], told.append))
    assert [(one.table, one.problem) for one in done] == [("results", None), ("runs", None)]
    assert told == ["results", "runs"]
    assert rows_known(session) == 3
    with engine.connect() as connection:
        assert connection.scalar(text("show statement_timeout")) == "0"


def test_who_may_not_is_told(engine: Engine, database_url: str) -> None:
    with engine.begin() as connection:
        connection.execute(text("create role vacuum_guest login"))
        connection.execute(text("grant select, delete on all tables in schema public to vacuum_guest"))
    guest = create_engine(make_url(database_url).set(username="vacuum_guest"))
    try:
        [one] = vacuum(guest, ["results"], print)
    finally:
        guest.dispose()
        with engine.begin() as connection:
            connection.execute(text("drop owned by vacuum_guest"))
            connection.execute(text("drop role vacuum_guest"))
    assert one.problem is not None
    assert "permission denied" in one.problem or "only table or database owner" in one.problem


def test_it_waits_for_nobody_for_long(engine: Engine, session: Session) -> None:
    session.execute(text("lock table results in share update exclusive mode"))
    limited = list(vacuum(engine, ["results"], print, limit_seconds=0.05))
    held, free = vacuum(engine, ["results", "runs"], print, lock_seconds=0.05)
    assert [limited[0].problem, held.problem, free.problem] == [*PROBLEMS.values(), None]


def test_a_database_out_of_reach() -> None:
    engine = create_engine(f"postgresql+psycopg2://u:hunter2@127.0.0.1:{dead_port()}/ibutsu")
    with pytest.raises(DatabaseUnreachableError) as caught:
        list(vacuum(engine, ["results"], print))
    assert "hunter2" not in str(caught.value)
    engine.dispose()
