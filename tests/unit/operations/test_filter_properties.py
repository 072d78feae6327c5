"""Whatever a user types: a condition, nothing, or the documented error; and never a word of it in the SQL."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sqlalchemy import create_mock_engine, select

from ibutsu_tasks.errors import InvalidFilterError
from ibutsu_tasks.ibutsu.database.models import Base
from ibutsu_tasks.ibutsu.operations.query.filters import build_clause, build_clauses
from tests.wild_filters import MARK, WildFilter, marked_texts, wild_filters, wild_texts

if TYPE_CHECKING:
    from sqlalchemy.sql.compiler import SQLCompiler

TABLES = [Base.metadata.tables[name] for name in ("results", "runs")]
DIALECT = create_mock_engine("postgresql+psycopg2://", lambda *_: None).dialect


def compiled(*clauses: Any) -> SQLCompiler:
    statement = select(1).where(*clauses)
    return statement.compile(dialect=DIALECT, compile_kwargs={"render_postcompile": True})


@given(st.text() | wild_texts() | st.builds("".join, st.tuples(wild_texts(), st.text())))
def test_any_text_is_a_condition_or_ignored_or_refused(text: str) -> None:
    for table in TABLES:
        with suppress(InvalidFilterError):
            build_clause(table, text)


@given(st.lists(wild_texts(), max_size=3))
def test_no_word_of_a_user_is_in_the_sql_text(texts: list[str]) -> None:
    for table in TABLES:
        with suppress(InvalidFilterError):
            assert MARK not in str(compiled(*build_clauses(table, texts)))


@given(wild_filters())
def test_every_key_and_value_is_a_bound_parameter(wild: WildFilter) -> None:
    for table in TABLES:
        with suppress(InvalidFilterError):
            clause = build_clause(table, str(wild))
            if clause is None:
                continue
            statement = compiled(clause)
            bound = list(statement.params.values())
            assert set(wild.keys) <= {value for value in bound if isinstance(value, str)}
            assert str(statement).count("%(") == len(bound)
            assert wild.sign == "@" or len(bound) > len(wild.keys)


@pytest.mark.parametrize("field", ["env", "metadata.a", "metadata.tags", "params"])
@given(sign=st.sampled_from("=!~%"), value=marked_texts())
def test_a_text_is_bound_as_it_was_written(field: str, sign: str, value: str) -> None:
    assume(not value.startswith('"'))
    with suppress(InvalidFilterError):
        [clause] = build_clauses(TABLES[0], [f"{field}{sign}{value}"])
        written = re.sub("([/%_])", r"/\1", value) if sign == "%" else value
        assert written in compiled(clause).params.values()
