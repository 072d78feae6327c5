"""How many rows a query would give, as the planner sees it: approximate, and free of charge."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import ClauseElement, Executable, Select
from sqlalchemy.ext.compiler import compiles

if TYPE_CHECKING:
    from sqlalchemy.orm import Session
    from sqlalchemy.sql.compiler import SQLCompiler


class _Explain(Executable, ClauseElement):
    """`EXPLAIN` of a query, with the query's bound values."""

    inherit_cache = False

    def __init__(self, query: Select[Any]) -> None:
        self.query = query


@compiles(_Explain)
def _compile_explain(element: _Explain, compiler: SQLCompiler, **options: Any) -> str:
    return f"EXPLAIN (FORMAT JSON) {compiler.process(element.query, **options)}"


def estimate_rows(session: Session, query: Select[Any]) -> int:
    """Give the planner's estimate of the rows `query` gives, without running it."""
    [plan] = session.execute(_Explain(query)).one()[0]
    return int(plan["Plan"]["Plan Rows"])
