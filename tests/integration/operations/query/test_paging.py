from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from sqlalchemy import event, select, text

from ibutsu_tasks.errors import InvalidFilterError, RefusedError
from ibutsu_tasks.ibutsu.database.models import Base, Result
from ibutsu_tasks.ibutsu.operations.query import paging
from ibutsu_tasks.ibutsu.operations.query.filters import build_clauses
from ibutsu_tasks.ibutsu.operations.query.paging import PageLimits, PageRequest, fetch_page
from tests.factories import make_project, make_result, make_run

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from sqlalchemy.orm import Session

LIMITS = PageLimits(rows=50_000)
NOON = datetime(2026, 11, 21, 12)  # noqa: DTZ001 - the columns hold naive UTC


def rows(session: Session, *filters: str, tablename: str = "results", **options: Any) -> list[dict[str, Any]]:
    page = fetch_page(session, PageRequest(tablename, filters, **options), LIMITS)
    found: list[dict[str, Any]] = page[tablename]
    return found


def names(session: Session, *filters: str) -> set[str]:
    return {row["test_id"] for row in rows(session, *filters, page_size=100)}


def add_results(session: Session, count: int, **columns: Any) -> None:
    run = make_run(session)
    for number in range(count):
        row = {"id": uuid4(), "run_id": run.id, "start_time": NOON - timedelta(seconds=number)}
        session.add(Result(**row | {"result": "passed"} | columns))
    session.flush()


def test_a_result_is_a_json_row(session: Session) -> None:
    project = make_project(session)
    run = make_run(session, project_id=project.id)
    data = {"tags": ["a"], "nested": {"ü": [1, 2.5, None, True]}}
    result = make_result(
        session, run, data=data, params={"p": 1}, start_time=NOON, env="stage", duration=0.25
    )
    answer = fetch_page(session, PageRequest("results"), LIMITS)
    assert json.loads(json.dumps(answer, allow_nan=False)) == {
        "results": [
            {
                "id": str(result.id),
                "project_id": str(project.id),
                "run_id": str(run.id),
                "test_id": "test_it",
                "result": "passed",
                "metadata": data,
                "params": {"p": 1},
                "duration": 0.25,
                "start_time": "2026-11-21T12:00:00Z",
                "source": None,
                "env": "stage",
                "component": None,
            }
        ],
        "pagination": {"page": 1, "pageSize": 25, "totalItems": 1, "totalPages": 1},
    }


def test_a_run_is_a_json_row_with_the_columns_of_its_table(session: Session) -> None:
    run = make_run(
        session, start_time=NOON, created=NOON, data=None, summary={"tests": 3}, duration=float("nan")
    )
    [row] = rows(session, tablename="runs")
    assert row == {
        "id": str(run.id),
        "project_id": None,
        "metadata": {},
        "env": None,
        "component": None,
        "source": None,
        "start_time": "2026-11-21T12:00:00Z",
        "duration": None,
        "summary": {"tests": 3},
        "created": "2026-11-21T12:00:00Z",
    }


def test_rows_come_newest_first_and_every_row_on_one_page_only(session: Session) -> None:
    run = make_run(session)
    for number in range(20):
        make_result(session, run, start_time=NOON + timedelta(hours=number // 5))
    pages = [rows(session, page=page, page_size=7) for page in (1, 2, 3, 4)]
    assert [len(page) for page in pages] == [7, 7, 6, 0]
    seen = [row for page in pages for row in page]
    assert len({row["id"] for row in seen}) == 20
    assert [row["start_time"] for row in seen] == sorted((row["start_time"] for row in seen), reverse=True)


@pytest.mark.parametrize(
    ("count", "page", "page_size", "total_items", "total_pages"),
    [
        (0, 1, 25, 0, 0),
        (0, 3, 25, 0, 0),
        (10, 1, 10, 10, 1),
        (10, 2, 4, 10, 3),
        (10, 9, 4, 10, 3),
        (10, 3, 4, 10, 3),
    ],
)
def test_totals(
    session: Session, count: int, page: int, page_size: int, total_items: int, total_pages: int
) -> None:
    add_results(session, count)
    answer = fetch_page(session, PageRequest("results", (), page, page_size), LIMITS)
    assert answer["pagination"] == {
        "page": page,
        "pageSize": page_size,
        "totalItems": total_items,
        "totalPages": total_pages,
    }


def test_a_total_counts_what_the_filters_let_through(session: Session) -> None:
    add_results(session, 10, env="stage")
    add_results(session, 5, env="live")
    answer = fetch_page(session, PageRequest("results", ("env=stage",), 1, 3), LIMITS)
    assert answer["pagination"]["totalItems"] == 10


def planned_rows(session: Session, statement: str) -> int:
    return int(session.scalars(text(f"EXPLAIN (FORMAT JSON) {statement}")).one()[0]["Plan"]["Plan Rows"])


def test_an_estimate_is_the_planners(session: Session) -> None:
    add_results(session, 3000)
    session.execute(text("ANALYZE results"))
    add_results(session, 40)
    request = PageRequest("results", ("result=passed",), page_size=10, estimate=True)
    total = fetch_page(session, request, LIMITS)["pagination"]["totalItems"]
    assert total == planned_rows(session, "SELECT id FROM results WHERE result = 'passed'")
    assert 1000 <= total != 3040


def test_a_small_estimate_is_replaced_by_a_count(session: Session) -> None:
    add_results(session, 30)
    session.execute(text("ANALYZE results"))
    add_results(session, 33)
    request = PageRequest("results", (), page_size=10, estimate=True)
    assert fetch_page(session, request, LIMITS)["pagination"]["totalItems"] == 63


def test_comparisons(session: Session) -> None:
    project, run = make_project(session), make_run(session)
    first = make_result(
        session, run, test_id="a", env="stage", duration=9.5, project_id=project.id, start_time=NOON
    )
    make_result(session, run, test_id="b", env="live_1", duration=10.0, start_time=NOON + timedelta(hours=1))
    make_result(session, run, test_id="c", env=None, duration=100.0, start_time=NOON + timedelta(hours=2))
    assert names(session, "env=stage") == {"a"}
    assert names(session, "env!stage") == {"b"}
    assert names(session, "duration>9.5") == {"b", "c"}
    assert names(session, "duration)9.5", "duration(10") == {"a", "b"}
    assert names(session, "duration>=10", "duration<=10") == {"b"}
    assert names(session, "duration<1e1") == {"a"}
    assert names(session, "duration*9.5;100") == {"a", "c"}
    assert names(session, "env*stage;live_1;other") == {"a", "b"}
    assert names(session, "env~^(st|x)") == {"a"}
    assert names(session, "env%LIVE_") == {"b"}
    assert names(session, "env%_") == {"b"}
    assert names(session, "env%\\") == set()
    assert names(session, "env@y") == {"a", "b"}
    assert names(session, "env@n") == {"c"}
    assert names(session, f"project_id={project.id}") == {"a"}
    assert names(session, f"id*{first.id};{uuid4()}") == {"a"}
    assert names(session, "start_time>2026-11-21T12:00:00", "start_time<2026-11-21T15:00:00+01:00") == {"b"}
    assert names(session, "nonsense=1", "run_id.x=2") == {"a", "b", "c"}


def test_documents(session: Session) -> None:
    run = make_run(session)
    make_result(session, run, test_id="a", data={"jenkins": {"job_name": "nightly"}, "n": 5, "x-y z": True})
    make_result(
        session, run, test_id="b", data={"jenkins": "none", "n": "five"}, params={"browser": "Firefox"}
    )
    make_result(session, run, test_id="c", data=None)
    assert names(session, "metadata.jenkins.job_name=nightly") == {"a"}
    assert names(session, "data.n*5;five") == {"a", "b"}
    assert names(session, "metadata.x-y z=true") == {"a"}
    assert names(session, "metadata.jenkins@y") == {"a", "b"}
    assert names(session, "metadata.jenkins.job_name@n") == {"b", "c"}
    assert names(session, "metadata@n") == {"c"}
    assert names(session, "params%firefox") == {"b"}
    assert names(session, "data~nightly") == {"a"}


def test_lists(session: Session) -> None:
    run = make_run(session)
    make_result(session, run, test_id="a", data={"tags": ["smoke", "ui"], "markers": ["slow"]})
    make_result(session, run, test_id="b", data={"tags": ["ui"]})
    make_result(session, run, test_id="c", data={"tags": 5})
    make_result(session, run, test_id="d", data={})
    assert names(session, "metadata.tags=ui") == {"a", "b"}
    assert names(session, "metadata.tags=smoke", "data.markers=slow") == {"a"}
    assert names(session, "metadata.tags!smoke") == {"b", "c"}
    assert names(session, "metadata.tags*smoke;other") == {"a"}
    assert names(session, "metadata.tags%SMO") == {"a"}
    assert names(session, "metadata.tags@n") == {"d"}


def test_filters_of_runs_stand_on_runs(session: Session) -> None:
    project = make_project(session)
    summaries = [
        {"failures": 9, "pass_percent": 9},
        {"failures": 10, "pass_percent": 90},
        {"failures": "many"},
        {"failures": 10**400},
        {},
    ]
    for number, summary in enumerate(summaries):
        make_run(session, component=str(number), summary=summary, project_id=project.id, start_time=NOON)

    def components(*filters: str) -> set[str]:
        return {row["component"] for row in rows(session, *filters, tablename="runs")}

    assert components("summary.failures<10") == {"0"}
    assert components("summary.failures>=10") == {"1", "3"}
    assert components("summary.failures*9;10") == {"0", "1"}
    assert components("summary.failures@y") == {"0", "1", "2", "3"}
    assert components("summary.pass_percent>9.5") == {"1"}
    assert components("summary.pass_percent<1e300") == {"0", "1"}
    assert components(f"project_id={project.id}", "start_time>=2026-11-21", "component=4") == {"4"}
    assert components("test_id=x", "component!4", "created@n") == set()


@pytest.mark.parametrize(
    ("tablename", "text_", "index"),
    [
        ("results", "metadata.assignee=ann", "ix_results_assignee"),
        ("results", "metadata.exception_name*KeyError;TypeError", "ix_results_exception_name"),
        ("results", "metadata.jenkins.build_number=7", "ix_results_jenkins_build_number"),
        ("results", "metadata.tags=smoke", "ix_results_tags"),
        ("results", "metadata.tags*smoke;ui", "ix_results_tags"),
        ("runs", "metadata.jenkins.job_name=nightly", "ix_runs_j"),
        ("runs", "summary.pass_percent<50", "ix_runs_pass_percent"),
        ("results", "duration>5", "ix_results_duration"),
    ],
)
def test_indexes_serve_the_filters(session: Session, tablename: str, text_: str, index: str) -> None:
    table = Base.metadata.tables[tablename]
    session.execute(text("SET LOCAL enable_seqscan = off"))
    statements: list[str] = []
    engine = session.get_bind()
    event.listen(
        engine, "before_cursor_execute", lambda *a: statements.append(a[1].mogrify(a[2], a[3]).decode())
    )
    session.execute(select(table.c.id).where(*build_clauses(table, [text_])))
    plan = "\n".join(session.scalars(text("EXPLAIN " + statements[-1].replace(":", r"\:"))))
    assert index in plan


@pytest.mark.parametrize("pattern", ["(", "[z-a]", "a{5,1}", "*", "\\", "(" * 50_000])
@pytest.mark.parametrize("estimate", [True, False])
def test_a_wrong_regular_expression_is_named(session: Session, pattern: str, *, estimate: bool) -> None:
    make_result(session, make_run(session), env="stage")
    with pytest.raises(InvalidFilterError, match="regular expression") as caught:
        rows(session, "component=x", f"env~{pattern}", estimate=estimate)
    assert "component" not in str(caught.value)


def test_a_runaway_query_is_stopped_with_a_sentence(session: Session) -> None:
    make_result(session, make_run(session), env="a" * 300 + "b" + "a" * 299)
    request = PageRequest("results", (r"env~^(a*)(a*)(a*)(a*)(a*)b\1\2\3\4\5$",))
    with pytest.raises(RefusedError, match="longer than 1 s") as caught:
        fetch_page(session, request, PageLimits(100, seconds=1))
    assert "Narrow" in caught.value.hint


def test_the_time_out_ends_with_the_transaction(session: Session) -> None:
    before = session.scalar(text("SHOW statement_timeout"))
    rows(session)
    assert session.scalar(text("SHOW statement_timeout")) == "25s"
    session.commit()
    assert session.scalar(text("SHOW statement_timeout")) == before


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (PageRequest("users"), ["results", "runs", "'users'"]),
        (PageRequest("results", (), 0), ["at least 1"]),
        (PageRequest("results", (), 1, 0), ["at least 1"]),
        (PageRequest("results", (), 1, -5), ["at least 1"]),
        (PageRequest("results", (), 1, 101), ["101", "limit of 100"]),
        (PageRequest("results", (), 10**30, 10), ["no page"]),
    ],
)
def test_requests_beyond_the_limits_are_refused(
    session: Session, request_: PageRequest, words: list[str]
) -> None:
    with pytest.raises(RefusedError) as caught:
        fetch_page(session, request_, PageLimits(100))
    assert all(word in str(caught.value) for word in words)


def test_the_limit_of_rows_names_its_setting(session: Session) -> None:
    with pytest.raises(RefusedError) as caught:
        fetch_page(session, PageRequest("results", (), 1, 101), PageLimits(100))
    assert "IBUTSU_TASKS_QUERY_MAX_ROWS" in caught.value.hint


def test_a_page_of_the_largest_size_is_given(session: Session) -> None:
    add_results(session, 120)
    limits = PageLimits(100)
    assert len(fetch_page(session, PageRequest("results", (), 1, 100), limits)["results"]) == 100


def test_a_page_of_large_documents_is_refused(session: Session) -> None:
    run = make_run(session)
    for _ in range(5):
        make_result(session, run, data={"log": "x" * 1000})
    assert len(fetch_page(session, PageRequest("results"), PageLimits(100, 6000))["results"]) == 5
    with pytest.raises(RefusedError, match="4,000 bytes") as caught:
        fetch_page(session, PageRequest("results"), PageLimits(100, 4000))
    assert "smaller pages" in caught.value.hint


def test_messages_may_carry_numbers_as_texts() -> None:
    expected = PageRequest("runs", ("env=a",), 2, 501, estimate=True)
    assert PageRequest.from_message(["env=a"], "2", "501", "True", "runs") == expected
    assert PageRequest.from_message(None, 1, 25, "false", "results") == PageRequest("results")


@pytest.mark.parametrize(
    ("filters", "page", "words"),
    [
        ("env=a", 1, "list of texts"),
        ([], "first", "whole number"),
        ([], None, "whole number"),
        ([], 1.5, "whole number"),
    ],
)
def test_messages_with_arguments_of_the_wrong_kind_are_refused(filters: Any, page: Any, words: str) -> None:
    with pytest.raises(RefusedError, match=words):
        PageRequest.from_message(filters, page, 25, False, "results")


def test_rows_are_read_in_portions(session: Session, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paging, "FETCH_ROWS", 10)
    add_results(session, 35)
    fetched: list[int] = []
    event.listen(
        engine, "before_cursor_execute", lambda *a: fetched.append(getattr(a[1], "name", None) is not None)
    )
    assert len(rows(session, page_size=50)) == 35
    assert fetched == [False, True]


def test_queries_stay_in_no_cache(session: Session, engine: Engine) -> None:
    add_results(session, 3, env="a")
    cache = engine._compiled_cache
    assert cache is not None
    kept = len(cache)
    for number in range(5):
        filters = tuple(f"metadata.k{key}!x" for key in range(number + 1))
        fetch_page(session, PageRequest("results", filters, page_size=1), LIMITS)
        fetch_page(session, PageRequest("results", ("env=a", *filters[:1]), page_size=1), LIMITS)
    assert len(cache) == kept
