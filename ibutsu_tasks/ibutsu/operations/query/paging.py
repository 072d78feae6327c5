"""Pages of results or runs as JSON rows, newest first."""

from __future__ import annotations

import json
import math
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self

from sqlalchemy import ClauseElement, Executable, Select, Table, Text, Uuid, cast, func, select, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.compiler import compiles

from ibutsu_tasks.errors import RefusedError
from ibutsu_tasks.ibutsu.database.models import Base
from ibutsu_tasks.ibutsu.operations.query import filters

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import ColumnElement
    from sqlalchemy.orm import Session
    from sqlalchemy.sql.compiler import SQLCompiler

TABLE_NAMES = ("results", "runs")

ESTIMATE_LIMIT_ROWS = 1_000
"""The Ibutsu API server's own figure: below it rows are counted, because that is quick."""

FETCH_ROWS = 1_000
"""Rows the driver holds at once on their way."""

LARGEST_OFFSET = 2**63 - 1

QUERY_CANCELED, INVALID_REGEX = "57014", "2201B"
FILTER_AT_FAULT_CLASSES = ("22", "54")
"""SQLSTATE classes: data exception, program limit exceeded. Only filters bring data into these queries."""


@dataclass(frozen=True, slots=True)
class PageLimits:
    """What one page may hold, rows and bytes of their JSON documents, and how long a statement may take.

    That time is the Ibutsu API server's own figure, for what runs away: a regular expression, a count of all.
    """

    rows: int
    json_bytes: int = 64_000_000
    seconds: int = 25


@dataclass(frozen=True, slots=True)
class PageRequest:
    """What to fetch: `page` counts from 1, `estimate` allows an approximate total."""

    tablename: str
    filters: tuple[str, ...] = ()
    page: int = 1
    page_size: int = 25
    estimate: bool = False

    @classmethod
    def from_message(cls, filter_: Any, page: Any, page_size: Any, estimate: Any, tablename: Any) -> Self:
        """Read a message's arguments, where numbers may be strings.

        Raises RefusedError for arguments of the wrong kind.
        """
        if not isinstance(filter_, list | tuple | None):
            raise RefusedError(f"The filters must be a list of texts, not {type(filter_).__name__}.")
        wants_estimate = str(estimate).strip().lower() in ("true", "1", "y", "yes")
        numbers = _whole_number("page", page), _whole_number("page_size", page_size)
        return cls(tablename, tuple(filter_ or ()), *numbers, wants_estimate)

    @property
    def offset(self) -> int:
        """Rows before the page."""
        return (self.page - 1) * self.page_size


def _whole_number(name: str, value: Any) -> int:
    try:
        return int(str(value))
    except ValueError:
        raise RefusedError(f"{name} must be a whole number, not {str(value)[:50]!r}.") from None


def fetch_page(session: Session, request: PageRequest, limits: PageLimits) -> dict[str, Any]:
    """Give `{tablename: [row, ...], "pagination": {...}}`, rows with `data` under the name `metadata`.

    Sets the statement time-out of the session's transaction. Raises RefusedError for a request beyond the
    limits or a query beyond the time-out, InvalidFilterError for a filter that cannot be used.
    """
    _check(request, limits.rows)
    table = Base.metadata.tables[request.tablename]
    clauses = filters.build_clauses(table, request.filters)
    # Hardly two queries are alike, and SQLAlchemy would keep hundreds of them with all their values.
    session.connection().execution_options(compiled_cache=None)
    with _clear_errors(request, limits.seconds):
        session.execute(text(f"SET LOCAL statement_timeout = '{limits.seconds}s'"))
        rows = _fetch_rows(session, table, clauses, request, limits.json_bytes)
        total = _total(session, select(table.c.id).where(*clauses), request, len(rows))
    pagination = {
        "page": request.page,
        "pageSize": request.page_size,
        "totalItems": total,
        "totalPages": -(-total // request.page_size),
    }
    return {request.tablename: rows, "pagination": pagination}


def _check(request: PageRequest, max_rows: int) -> None:
    if request.tablename not in TABLE_NAMES:
        raise RefusedError(f"There are pages of results and of runs, not of {request.tablename!r}.")
    if request.page < 1 or request.page_size < 1:
        raise RefusedError(
            f"page and page_size must be at least 1, not {request.page} and {request.page_size}."
        )
    if request.page_size > max_rows:
        raise RefusedError(
            f"A page of {request.page_size} rows is over the limit of {max_rows} rows.",
            "Ask for smaller pages, or raise IBUTSU_TASKS_QUERY_MAX_ROWS.",
        )
    if request.offset > LARGEST_OFFSET:
        raise RefusedError(f"There is no page {request.page}.")


def _fetch_rows(
    session: Session, table: Table, clauses: list[ColumnElement[bool]], request: PageRequest, max_bytes: int
) -> list[dict[str, Any]]:
    # Identifiers as text, cheaper than objects; JSON as text, to be measured.
    columns = [
        cast(column, Text) if isinstance(column.type, Uuid | JSONB) else column for column in table.columns
    ]
    names = [_json_name(column.name) for column in table.columns]
    documents = [_json_name(column.name) for column in table.columns if isinstance(column.type, JSONB)]
    page = (
        select(*columns)
        .where(*clauses)
        .order_by(table.c.start_time.desc(), table.c.id)
        .offset(request.offset)
        .limit(request.page_size)
        .execution_options(yield_per=FETCH_ROWS)
    )
    rows, size_bytes = [], 0
    for values in session.execute(page):
        row = dict(zip(names, map(_json_value, values), strict=True))
        texts = {name: row[name] or "null" for name in documents}
        size_bytes += sum(map(len, texts.values()))
        if size_bytes > max_bytes:
            raise RefusedError(
                f"The page holds more than the limit of {max_bytes:,} bytes of metadata.",
                "Ask for smaller pages.",
            )
        row |= {name: json.loads(text) for name, text in texts.items()}
        row["metadata"] = row["metadata"] or {}
        rows.append(row)
    return rows


def _json_name(column_name: str) -> str:
    return "metadata" if column_name == "data" else column_name


def _json_value(value: Any) -> Any:
    if isinstance(value, datetime):
        # The API server's own JSON encoder ends naive times in Z; a string passes through it as it is.
        return f"{value.isoformat()}Z"
    # A duration can be NaN or infinite in PostgreSQL; in JSON it cannot.
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _total(session: Session, matching: Select[Any], request: PageRequest, page_rows: int) -> int:
    seen = request.offset + page_rows
    if page_rows < request.page_size and (page_rows or request.page == 1):
        # The last page says how many there are.
        return seen
    if request.estimate and (estimate := _estimate_rows(session, matching)) >= ESTIMATE_LIMIT_ROWS:
        return max(estimate, seen) if page_rows else estimate
    return session.scalars(select(func.count()).select_from(matching.subquery())).one()


class _Explain(Executable, ClauseElement):
    """`EXPLAIN` of a query, with the query's bound values."""

    inherit_cache = False

    def __init__(self, query: Select[Any]) -> None:
        self.query = query


@compiles(_Explain)
def _compile_explain(element: _Explain, compiler: SQLCompiler, **options: Any) -> str:
    return f"EXPLAIN (FORMAT JSON) {compiler.process(element.query, **options)}"


def _estimate_rows(session: Session, query: Select[Any]) -> int:
    """Give the planner's estimate of the rows `query` gives, without running it."""
    [plan] = session.execute(_Explain(query)).one()[0]
    return int(plan["Plan"]["Plan Rows"])


@contextmanager
def _clear_errors(request: PageRequest, seconds: int) -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        sqlstate = getattr(error.orig, "pgcode", None) or ""
        if sqlstate == QUERY_CANCELED:
            raise RefusedError(
                f"The query on {request.tablename} was stopped: it took longer than "
                f"{seconds} s, or an administrator cancelled it.",
                "Narrow it down with more filters, or use simpler ones in place of ~ and %.",
            ) from error
        if sqlstate.startswith(FILTER_AT_FAULT_CLASSES):
            suspects = [
                each for each in request.filters if sqlstate != INVALID_REGEX or filters.uses_regex(each)
            ]
            reason = str(error.orig).partition("\n")[0]
            raise filters.refuse(" or ".join(suspects), f"is refused by PostgreSQL: {reason}") from error
        raise
