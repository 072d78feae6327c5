"""Whatever a user filters by, PostgreSQL gives rows or the documented error comes; no word of it is SQL."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, assume, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlalchemy import event

from ibutsu_tasks.errors import InvalidFilterError
from ibutsu_tasks.ibutsu.operations.query import paging
from ibutsu_tasks.ibutsu.operations.query.paging import PageLimits, PageRequest, fetch_page
from tests.factories import make_result, make_run
from tests.wild_filters import MARK, marked_texts, path_keys, wild_texts

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

STORABLE = re.compile("[^\0\ud800-\udfff]*")
LIMITS = PageLimits(rows=100, json_bytes=1_000_000)
on_one_database = hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def executed(session: Session) -> list[tuple[str, Any]]:
    """Rows to be found, and from now on each statement that reaches the driver with its parameters."""
    run = make_run(session, data={"a": {"b": 1}}, summary={"tests": 1, "pass_percent": 100}, env="x")
    make_result(session, run, data={"tags": ["a"], "a": "b"}, env="x")
    session.commit()
    statements: list[tuple[str, Any]] = []
    event.listen(session.get_bind(), "before_cursor_execute", lambda *a: statements.append((a[2], a[3])))
    return statements


@given(
    filters=st.lists(wild_texts(), max_size=3),
    tablename=st.sampled_from(paging.TABLE_NAMES),
    estimate=st.booleans(),
)
@on_one_database
def test_any_filters_run_or_are_refused(
    session: Session,
    executed: list[tuple[str, Any]],
    filters: list[str],
    tablename: str,
    *,
    estimate: bool,
) -> None:
    session.rollback()
    executed.clear()
    request = PageRequest(tablename, tuple(filters), page_size=1, estimate=estimate)
    with suppress(InvalidFilterError):
        assert len(fetch_page(session, request, LIMITS)[tablename]) in (0, 1)
    assert not any(MARK in statement for statement, _ in executed)


@given(keys=st.lists(path_keys(), min_size=1, max_size=3), value=marked_texts(), sign=st.sampled_from("=*"))
@on_one_database
def test_a_row_is_found_by_what_it_holds(
    session: Session, executed: list[tuple[str, Any]], keys: list[str], value: str, sign: str
) -> None:
    assume(STORABLE.fullmatch("".join([*keys, value])) and ";" not in value and not value.startswith('"'))
    session.rollback()
    data: Any = value
    for key in reversed(keys):
        data = {key: data}
    result = make_result(session, make_run(session), data=data, env=value)
    executed.clear()
    for field in (f"metadata.{'.'.join(keys)}", "env"):
        page = fetch_page(session, PageRequest("results", (f"{field}{sign}{value}",)), LIMITS)
        assert [row["id"] for row in page["results"]] == [str(result.id)]
    assert not any(MARK in statement for statement, _ in executed)
    found_by = [set(parameters.values()) for _, parameters in executed if len(parameters) > 2]
    assert found_by[0] >= {*keys, value}
