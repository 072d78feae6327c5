"""Filters of a query: text in, SQL conditions out, with every value a bound parameter."""

from __future__ import annotations

import logging
import operator
import re
import reprlib
from typing import TYPE_CHECKING, Any

from sqlalchemy import ARRAY, Text, cast, literal, not_
from sqlalchemy.dialects.postgresql import JSONB

from ibutsu_tasks.errors import InvalidFilterError
from ibutsu_tasks.ibutsu.operations.query.fields import Field, find_field
from ibutsu_tasks.text.quoting import cut
from ibutsu_tasks.text.storable import UNSTORABLE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import ColumnElement, Table

logger = logging.getLogger(__name__)

COMPARISONS: dict[str, Callable[[Any, Any], ColumnElement[bool]]] = {
    "=": operator.eq,
    "!": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
    ")": operator.ge,
    ">=": operator.ge,
    "(": operator.le,
    "<=": operator.le,
}
REGEX, ANY_OF, CONTAINS, EXISTS = "~", "*", "%", "@"

GRAMMAR = (
    "A filter is <field><operator><value> with an operator of = (equal) ! (not equal) > < ) or >= ( or <= "
    "~ (regular expression) * (one of, separated by ;) % (contains) @ (exists, y or n)"
)
MAX_SHOWN_CHARACTERS = 200

MAX_FILTERS = 100
"""Of one query; each takes time to become SQL, and the server's plan grows with them."""

MAX_FILTER_CHARACTERS = 1_000_000

_FILTER = re.compile(r"([^=!><)(~*%@]+)(>=|<=|[=!><)(~*%@])(.*)", re.DOTALL)
_YES, _NO = ("y", "t", "1"), ("n", "f", "0")


def build_clauses(table: Table, filters: Sequence[str]) -> list[ColumnElement[bool]]:
    """Turn filters into conditions that all have to hold; those on fields `table` lacks are ignored.

    As in SQL, a row without the value satisfies no comparison, not even `!`.
    Raises InvalidFilterError, naming the filter, for one that does not follow the grammar, and for too many.
    """
    if len(filters) > MAX_FILTERS:
        raise InvalidFilterError(
            f"A query takes at most {MAX_FILTERS} filters, not {len(filters):,}.",
            "Ask for several values of one field with *, separated by ;.",
        )
    clauses = (build_clause(table, text) for text in filters)
    return [clause for clause in clauses if clause is not None]


def build_clause(table: Table, text: str) -> ColumnElement[bool] | None:
    """Turn one filter into a condition; None when `table` has no such field.

    Raises InvalidFilterError when it does not follow the grammar. Only the server can judge a regular
    expression: a wrong one comes back from there with SQLSTATE 2201B.
    """
    try:
        name, operator_sign, value = _split(text)
        field = find_field(table, name)
        if field is not None:
            return _clause(field, operator_sign, value)
    except ValueError as error:
        raise refuse(text, str(error)) from None
    logger.debug("filter ignored: %s has no field %r", table.name, name)
    return None


def refuse(text: object, reason: str) -> InvalidFilterError:
    """Describe what is wrong with a filter; `reason` completes the sentence."""
    # reprlib cuts what is nested too deep for repr, as no text is.
    shown = cut(repr(text) if isinstance(text, str) else reprlib.repr(text), MAX_SHOWN_CHARACTERS)
    return InvalidFilterError(f"The filter {shown} {reason}. {GRAMMAR}.", "Mend the filter and ask again.")


def uses_regex(text: str) -> bool:
    """Say whether a filter that follows the grammar compares with a regular expression."""
    return _split(text)[1] == REGEX


def _split(text: str) -> tuple[str, str, str]:
    if not isinstance(text, str):
        raise ValueError("is not text")  # noqa: TRY004 - one kind of error for all that is wrong with a filter
    if len(text) > MAX_FILTER_CHARACTERS:
        raise ValueError(f"is longer than {MAX_FILTER_CHARACTERS:,} characters")
    if UNSTORABLE.search(text):
        raise ValueError("holds a character PostgreSQL cannot store")
    match = _FILTER.fullmatch(text)
    if match is None or not (name := match[1].strip()):
        raise ValueError("has no field or no operator")
    value = match[3]
    is_quoted = len(value) > 1 and value[0] == value[-1] == '"'
    return name, match[2], value[1:-1] if is_quoted else value


def _clause(field: Field, sign: str, value: str) -> ColumnElement[bool]:
    if sign == EXISTS:
        return _exists(field, value)
    if sign in (REGEX, CONTAINS):
        return _pattern(field, sign, value)
    if field.document is not None:
        return _list_clause(field.document, sign, value)
    if sign == ANY_OF:
        return field.expression.in_([field.parse(part) for part in _parts(value)])
    return COMPARISONS[sign](field.expression, field.parse(value))


def _exists(field: Field, value: str) -> ColumnElement[bool]:
    answer = value.strip()[:1].lower()
    if answer not in (*_YES, *_NO):
        raise ValueError("needs y or n after @")
    return field.text.is_not(None) if answer in _YES else field.text.is_(None)


def _pattern(field: Field, sign: str, value: str) -> ColumnElement[bool]:
    if field.is_exact:
        raise ValueError(f"uses {sign}, which is for text, on an identifier, a time or a number")
    if sign == REGEX:
        return field.text.regexp_match(value)
    return field.text.icontains(value, autoescape=True)


def _list_clause(items: ColumnElement[Any], sign: str, value: str) -> ColumnElement[bool]:
    if sign == ANY_OF:
        return items.bool_op("?|")(cast(_parts(value), ARRAY(Text())))
    if sign not in ("=", "!"):
        raise ValueError(f"uses {sign} on a list, which takes = ! * ~ % @")
    holds = items.bool_op("@>")(literal(value, JSONB()))
    return holds if sign == "=" else not_(holds)


def _parts(value: str) -> list[str]:
    return [part for part in value.split(";") if part] or [value]
