"""The table of temporary errors, held against PostgreSQL and its driver."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from ibutsu_tasks.errors import DatabaseUnreachableError
from ibutsu_tasks.temporary_errors import POOLERS, POSTGRESQL

if TYPE_CHECKING:
    from ibutsu_tasks.resources import Resources

RAISE = "do $$ begin raise exception '{words}' using errcode = '{sqlstate}'; end $$"


def raise_in(resources: Resources, sqlstate: str, words: str = "raised by a test") -> None:
    with resources.session() as session:
        session.execute(text(RAISE.format(words=words, sqlstate=sqlstate)))


@pytest.mark.parametrize("sign", POSTGRESQL)
def test_every_row_is_waited_out(resources: Resources, sign: str) -> None:
    sqlstate = sign if len(sign) == 5 else f"{sign}P01"
    with pytest.raises(DatabaseUnreachableError, match="raised by a test") as caught:
        raise_in(resources, sqlstate)
    assert POSTGRESQL[sign] in str(caught.value)


@pytest.mark.parametrize("words", POOLERS)
def test_poolers_are_waited_for(resources: Resources, words: str) -> None:
    with pytest.raises(DatabaseUnreachableError):
        raise_in(resources, "XX000", words)


@pytest.mark.parametrize(
    "sqlstate", ["22012", "23505", "42601", "42P01", "53400", "54000", "57014", "58P01", "XX000", "XX001"]
)
def test_what_would_fail_again_fails(resources: Resources, sqlstate: str) -> None:
    with pytest.raises(Exception, match="raised by a test") as caught:
        raise_in(resources, sqlstate)
    assert not isinstance(caught.value, DatabaseUnreachableError)


def write_where_none_is_taken(resources: Resources) -> None:
    with resources.session() as session:
        session.execute(text("set transaction read only"))
        session.execute(text("create table a ()"))


def test_a_database_that_takes_no_writes_is_waited_out(resources: Resources) -> None:
    with pytest.raises(DatabaseUnreachableError, match="read-only"):
        write_where_none_is_taken(resources)
