"""Recent runs whose summary and results disagree are found."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import event, text

from ibutsu_tasks.ibutsu.operations.run_summary import find_out_of_step
from tests.factories import make_result, make_run, utc_now

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from sqlalchemy.orm import Session


@pytest.mark.parametrize(
    "summary", [None, {}, {"tests": 2}, {"tests": "two"}, {"tests": None}, ["odd"], {"tests": 1e30}]
)
def test_run_whose_summary_says_otherwise_is_listed(session: Session, summary: Any) -> None:
    run = make_run(session, summary=summary)
    make_result(session, run)
    assert find_out_of_step(session) == [run.id]


@pytest.mark.parametrize("tests", [1, "1"])
def test_run_in_step_is_not_listed(session: Session, tests: Any) -> None:
    make_result(session, make_run(session, summary={"tests": tests}))
    assert find_out_of_step(session) == []


def test_run_without_results_is_listed_unless_its_file_had_none(session: Session) -> None:
    emptied = make_run(session, summary={"tests": 3})
    make_run(session, summary={"tests": 3}, data={"summary_source": "file"})
    make_run(session, summary={"tests": 0}, data=None)
    assert find_out_of_step(session) == [emptied.id]


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati", "Pacific/Pago_Pago"])
def test_three_hours_are_counted_in_utc_whatever_the_session_thinks(session: Session, zone: str) -> None:
    recent = make_run(session, start_time=utc_now() - timedelta(hours=2, minutes=59))
    make_run(session, start_time=utc_now() - timedelta(hours=3, minutes=1))
    session.execute(text(f"set local timezone = '{zone}'"))
    assert find_out_of_step(session) == [recent.id]


def test_one_query_however_many_runs(session: Session, engine: Engine) -> None:
    for _ in range(20):
        make_result(session, make_run(session))
    session.commit()
    statements: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *call: statements.append(call[2]))
    assert len(find_out_of_step(session)) == 20
    assert len(statements) == 1
