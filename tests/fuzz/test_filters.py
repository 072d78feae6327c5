"""Filters changed at random: each becomes SQL with bound values, or is refused with a sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select
from sqlalchemy.dialects import postgresql

from ibutsu_tasks.errors import InvalidFilterError
from ibutsu_tasks.ibutsu.database.models import Result, Run
from ibutsu_tasks.ibutsu.operations.query.filters import build_clause
from tests.fuzz.fuzzing import corpus, fuzz, limited

if TYPE_CHECKING:
    from pathlib import Path

SEEDS = (
    b"result=passed", b"metadata.a.b*x;y;z", b"start_time>2026-01-02T03:04:05", b"duration(1.5",
    b"env@y", b"project_id=aaaaaaaa-0000-4000-8000-000000000001", b"metadata.tags*a;b",
    b"test_id~^a.*$", b"component%x", b"summary.tests>=5", b"id!aaaaaaaa-0000-4000-8000-000000000001",
    b"metadata.tags%a",
)  # fmt: skip
TOKENS = (
    b"=", b"!", b"<=", b")", b"~", b"*", b"%", b"@", b".", b";", b"'", b'"', b"\\", b"\x00", b"%(a)s",
    b":a", b"--", b"$1", b"metadata", b"summary", b"params", b"null", b"\xed\xa0\x80",
    b"\xf0\x9f\x98\x80", b"{", b"[", b"9" * 50,
)  # fmt: skip
DIALECT = postgresql.dialect()


def outcome_of(data: bytes) -> str:
    """Turn a filter into SQL as a query does; give the SQL, or the sentence with the filter left out."""
    text, answers = data.decode(errors="surrogatepass" if b"\xed\xa0" in data else "replace"), []
    for model in (Result, Run):
        table = model.__table__
        try:
            clause = build_clause(table, text)
        except InvalidFilterError as refusal:
            str(refusal).encode()
            answers.append("refused")
            continue
        query = select(table.c.id)
        answers.append(
            str((query if clause is None else query.where(clause)).compile(dialect=DIALECT))[-150:]
        )
    return " ".join(answers)


def safely(data: bytes) -> str:
    """Leave out what is no text at all, which no message can hold."""
    try:
        return outcome_of(data)
    except UnicodeDecodeError:
        return "no text"


def test_filters() -> None:
    assert fuzz("filter", SEEDS, TOKENS, safely) > 10


@pytest.mark.parametrize("path", corpus("filter"), ids=lambda path: path.name)
def test_what_failed_once(path: Path) -> None:
    limited(safely, path.read_bytes())
