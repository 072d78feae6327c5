"""A run's summary is what its results add up to."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import event

from ibutsu_tasks.ibutsu.operations.run_summary import complete, fill_start_times, refresh
from tests.factories import make_project, make_result, make_run

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from sqlalchemy.orm import Session

NOON = datetime(2026, 11, 21, 12)  # noqa: DTZ001 - the tables hold naive UTC
COUNTED = ("tests", "failures", "errors", "skips", "xfailures", "xpasses")
KEYS = {*COUNTED, "passes", "collected", "not_run", "pass_percent"}


def test_every_status_is_counted_and_the_rest_passes(session: Session) -> None:
    run = make_run(session, summary={"collected": 12, "tests": 99})
    statuses = ["failed", "error", "skipped", "skipped", "xfailed", "xpassed", "passed", "manual", None]
    for status in statuses:
        make_result(session, run, result=status, duration=0.5)

    assert refresh(session, str(run.id)) == {
        "failures": 1,
        "errors": 1,
        "skips": 2,
        "xfailures": 1,
        "xpasses": 1,
        "tests": 9,
        "passes": 3,
        "collected": 12,
        "not_run": 3,
        "pass_percent": 33,
    }
    session.refresh(run)
    assert run.duration == pytest.approx(4.5)
    assert run.summary is not None
    assert run.summary["tests"] == 9


def test_columns_come_from_the_earliest_result(session: Session) -> None:
    project = make_project(session)
    run = make_run(session, start_time=NOON, env="old", data={"tags": ["kept"]})
    make_result(session, run, start_time=NOON, env="late", source="late")
    make_result(
        session,
        run,
        start_time=NOON - timedelta(hours=1),
        project_id=project.id,
        env="early",
        component="shop",
        source="suite",
        data={"jenkins": {"build_number": "7"}, "tags": ["dropped"]},
    )
    refresh(session, run.id)
    session.refresh(run)
    assert (run.start_time, run.env, run.component) == (NOON - timedelta(hours=1), "early", "shop")
    assert (run.source, run.project_id) == ("suite", project.id)
    assert run.data == {"jenkins": {"build_number": "7"}, "tags": ["kept"]}


def test_of_two_earliest_results_the_lower_id_counts(session: Session) -> None:
    run = make_run(session)
    make_result(session, run, id=UUID(int=2), env="second", start_time=NOON)
    make_result(session, run, id=UUID(int=1), env="first", start_time=NOON)
    refresh(session, run.id)
    session.refresh(run)
    assert run.env == "first"


def test_source_of_the_run_and_what_the_result_lacks_stay(session: Session) -> None:
    run = make_run(session, source="jenkins", env="stage", data=None)
    make_result(session, run, source="suite", env=None, data=None)
    refresh(session, run.id)
    session.refresh(run)
    assert (run.source, run.env, run.data) == ("jenkins", "stage", None)


def test_run_without_results_counts_nothing_and_keeps_the_rest(session: Session) -> None:
    run = make_run(session, start_time=NOON, env="stage", summary={"collected": "5", "tests": 3})
    assert refresh(session, run.id) == complete({}, 5)
    session.refresh(run)
    assert (run.start_time, run.env, run.duration) == (NOON, "stage", 0.0)


def test_counts_of_a_file_without_cases_stay_until_there_are_results(session: Session) -> None:
    claimed = complete({"tests": 10, "failures": 2}, 0)
    run = make_run(session, summary=claimed, duration=7.0, data={"summary_source": "file"})
    assert refresh(session, run.id) == claimed
    assert run.duration == 7.0
    make_result(session, run)
    summary = refresh(session, run.id)
    assert summary is not None
    assert summary["tests"] == 1


@pytest.mark.parametrize("run_id", [str(UUID(int=1)), "no-uuid", "", None, 7])
def test_unknown_run_is_no_error(session: Session, run_id: Any) -> None:
    assert refresh(session, run_id) is None
    assert fill_start_times(session, run_id) == 0


@pytest.mark.parametrize("summary", [None, {}, {"collected": None}, {"collected": "many"}, ["odd"], "text"])
def test_odd_summaries_are_replaced(session: Session, summary: Any) -> None:
    run = make_run(session, summary=summary)
    make_result(session, run)
    assert refresh(session, run.id) == complete({"tests": 1}, 0)


def test_durations_that_are_no_numbers_are_left_out(session: Session) -> None:
    run = make_run(session)
    for duration in (math.nan, math.inf, -math.inf, 1e308, 1e308, None, 2.5):
        make_result(session, run, duration=duration)
    refresh(session, run.id)
    session.refresh(run)
    assert run.duration == 2.5


def test_statements_do_not_grow_with_the_results(session: Session, engine: Engine) -> None:
    run = make_run(session)
    for _ in range(50):
        make_result(session, run)
    session.commit()
    statements: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *call: statements.append(call[2]))
    refresh(session, run.id)
    assert len(statements) == 5, statements


def test_a_run_is_written_once(session: Session, engine: Engine) -> None:
    run = make_run(session, start_time=NOON)
    make_result(session, run, start_time=NOON - timedelta(hours=1))
    session.commit()
    statements: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *call: statements.append(call[2]))
    refresh(session, run.id)
    assert len([statement for statement in statements if statement.startswith("UPDATE")]) == 1


def test_results_with_a_start_time_keep_it(session: Session) -> None:
    run = make_run(session, start_time=NOON)
    result = make_result(session, run, start_time=NOON + timedelta(hours=1))
    assert fill_start_times(session, str(run.id)) == 0
    session.refresh(result)
    assert result.start_time == NOON + timedelta(hours=1)


COUNT = st.integers(0, 10**12)


@given(
    counts=st.dictionaries(st.sampled_from(COUNTED), COUNT),
    collected=COUNT,
)
def test_summary_is_complete_and_in_bounds(counts: dict[str, int], collected: int) -> None:
    summary = complete(counts, collected)
    assert summary.keys() == KEYS
    assert all(number >= 0 for number in summary.values())
    assert summary["pass_percent"] <= 100
    assert (summary["pass_percent"] == 100) == (0 < summary["tests"] == summary["passes"])
