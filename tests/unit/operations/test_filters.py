from __future__ import annotations

import sys
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from sqlalchemy import create_mock_engine

from ibutsu_tasks.errors import InvalidFilterError
from ibutsu_tasks.ibutsu.database.models import Base
from ibutsu_tasks.ibutsu.operations.query.filters import build_clause, build_clauses

if TYPE_CHECKING:
    from sqlalchemy import Table

RESULTS, RUNS = Base.metadata.tables["results"], Base.metadata.tables["runs"]
DIALECT = create_mock_engine("postgresql+psycopg2://", lambda *_: None).dialect
SOME_ID = "4ea43c71-27f8-4b2b-930d-af89507d1de5"


def compiled(text: str, table: Table = RESULTS) -> tuple[str, list[Any]]:
    clause = build_clause(table, text)
    assert clause is not None
    statement = clause.compile(
        dialect=DIALECT,
        compile_kwargs={"render_postcompile": True},
    )
    return str(statement), list(statement.params.values())


@pytest.mark.parametrize(
    ("text", "sql_operator"),
    [
        ("env=a", "="),
        ("env!a", "!="),
        ("env>a", ">"),
        ("env<a", "<"),
        ("env)a", ">="),
        ("env>=a", ">="),
        ("env(a", "<="),
        ("env<=a", "<="),
        ("env~a", "~"),
    ],
)
def test_signs_become_sql_operators(text: str, sql_operator: str) -> None:
    assert compiled(text) == (f"results.env {sql_operator} %(env_1)s", ["a"])


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (f"id={SOME_ID}", UUID(SOME_ID)),
        (f"run_id={SOME_ID.upper()}", UUID(SOME_ID)),
        ("duration>1.5", 1.5),
        ("duration>2", 2),
        ("start_time>2026-11-21", datetime(2026, 11, 21)),  # noqa: DTZ001 - the column holds naive UTC
        ("start_time>2026-11-21T06:00:00+02:00", datetime(2026, 11, 21, 4)),  # noqa: DTZ001
        ("start_time>2026-11-21T06:00:00Z", datetime(2026, 11, 21, 6)),  # noqa: DTZ001
        ('env="a b"', "a b"),
        ('env="', '"'),
        ("env=a=b", "a=b"),
        ("env=first\nsecond", "first\nsecond"),
    ],
)
def test_values_take_the_type_of_the_column(text: str, value: Any) -> None:
    assert compiled(text)[1] == [value]


def test_like_wildcards_of_a_value_are_escaped() -> None:
    assert compiled("env%50%_a/b")[1] == ["50/%/_a//b"]


def test_paths_are_written_like_the_indexes() -> None:
    sql, values = compiled("metadata.jenkins.job_name=nightly")
    assert sql == "((results.data -> %(param_1)s) ->> %(param_2)s) = %(param_3)s"
    assert values == ["jenkins", "job_name", "nightly"]


@pytest.mark.parametrize("root", ["data", "metadata"])
def test_list_fields_use_the_operators_of_the_gin_index(root: str) -> None:
    assert " @> " in compiled(f"{root}.tags=smoke")[0]
    assert compiled(f"{root}.tags!smoke")[0].startswith("NOT ")
    assert " ?| " in compiled(f"{root}.markers*smoke;slow")[0]
    assert compiled(f"{root}.annotations*smoke;slow")[1] == ["annotations", ["smoke", "slow"]]


def test_clauses_stand_on_the_table_asked_for() -> None:
    for table in (RESULTS, RUNS):
        assert compiled("start_time>2026-01-01", table)[0].startswith(f"{table.name}.start_time")


@pytest.mark.parametrize(
    "text", ["nonsense=1", "summary.tests=1", "params.x=1", "metadata2.a=1", "created=x", "a b=1"]
)
def test_unknown_fields_are_ignored(text: str) -> None:
    assert build_clauses(RESULTS, [text, "env=a"])[1:] == []
    assert build_clause(RESULTS, text) is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no operator"),
        ("env", "no operator"),
        ("=a", "no field"),
        (" =a", "no field"),
        ("id=5", "UUID"),
        (f"id*{SOME_ID};x", "UUID"),
        ("start_time>yesterday", "ISO 8601"),
        ("start_time>0001-01-01T00:00:00+10:00", "ISO 8601"),
        ("duration>fast", "number"),
        ("duration=nan", "number"),
        ("duration=1e999", "number"),
        ("duration=1_0", "number"),
        ("duration=", "number"),
        ("duration~1", "is for text"),
        (f"id%{SOME_ID}", "is for text"),
        ("env@", "y or n"),
        ("env@perhaps", "y or n"),
        ("metadata..a=1", "empty part"),
        ("metadata.=1", "empty part"),
        (f"metadata{'.a' * 33}=1", "32 parts"),
        ("metadata.tags>a", "on a list"),
        ("env=\0", "cannot store"),
        ("env=\ud800", "cannot store"),
    ],
)
def test_a_wrong_filter_is_named_with_the_reason_and_the_grammar(text: str, reason: str) -> None:
    with pytest.raises(InvalidFilterError) as caught:
        build_clauses(RESULTS, ["env=a", text])
    assert repr(text)[:200] in str(caught.value)
    assert reason in str(caught.value)
    assert "<field><operator><value>" in str(caught.value)


def test_a_filter_that_is_no_text_is_refused() -> None:
    deep: list[Any] = []
    for _ in range(2 * sys.getrecursionlimit()):
        deep = [deep]
    for wrong in ({"env": "a"}, None, 5, ["env=a"], deep):
        with pytest.raises(InvalidFilterError, match="not text"):
            build_clauses(RESULTS, [wrong])  # type: ignore[list-item]


def test_more_filters_than_anybody_needs_are_refused() -> None:
    assert len(build_clauses(RESULTS, ["env=a"] * 100)) == 100
    with pytest.raises(InvalidFilterError, match="at most 100 filters, not 5,000"):
        build_clauses(RESULTS, ["env=a"] * 5000)
    with pytest.raises(InvalidFilterError, match="is longer than 1,000,000 characters") as refusal:
        build_clauses(RESULTS, ["env*" + "a;" * 500_000])
    assert len(str(refusal.value)) < 1000


def test_an_endless_filter_is_cut_in_the_message() -> None:
    with pytest.raises(InvalidFilterError) as caught:
        build_clause(RESULTS, "x" * 1_000_000)
    assert len(str(caught.value)) < 600
