"""The spans of the SQL of a task: its text, which has names in place of values, and what it took."""

from __future__ import annotations

from typing import Any

from opentelemetry.trace import SpanKind, StatusCode, get_current_span
from sqlalchemy import event
from sqlalchemy.engine import Engine

from ibutsu_tasks.traces.export import tracer

MAX_STATEMENT_CHARS = 2000

SPAN = "ibutsu_tasks.span"
"""Where a connection keeps the span of the statement it runs."""


def install() -> None:
    """Make a span of each statement of a task from here on."""
    listeners: dict[str, Any] = {
        "before_cursor_execute": _begin,
        "after_cursor_execute": _end,
        "handle_error": _fail,
    }
    for name, listener in listeners.items():
        if not event.contains(Engine, name, listener):
            event.listen(Engine, name, listener)


def _begin(conn: Any, _cursor: Any, statement: str, *_: Any) -> None:
    if not get_current_span().is_recording():
        return
    verb = statement.split(maxsplit=1)[0].upper()
    facts = {"db.system.name": "postgresql", "db.query.text": statement[:MAX_STATEMENT_CHARS]}
    conn.info[SPAN] = tracer().start_span(verb, kind=SpanKind.CLIENT, attributes=facts)


def _end(conn: Any, *_: Any) -> None:
    if span := conn.info.pop(SPAN, None):
        span.end()


def _fail(context: Any) -> None:
    if context.connection and (span := context.connection.info.pop(SPAN, None)):
        span.set_status(StatusCode.ERROR, type(context.original_exception).__name__)
        span.end()
