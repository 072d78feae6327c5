"""What a message must hold before Celery may see it: it trusts each of these, or else its worker ends.

The fields are those of Celery's message protocol 2, in the envelope of kombu's virtual transports.
"""

from __future__ import annotations

import base64
import binascii
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Check = tuple[str, "Callable[[Any], bool]", str]
"""A field, what must hold of its value, and what that is in words."""

JSON = "application/json"

MAX_LIMIT_SECONDS = 10 * 365 * 86_400
"""Ten years, the longest that a setting of ours may be; timers overflow long after."""

MAX_ID_CHARACTERS = 1_000
"""Of a task's id, which becomes part of keys and of every log line; Celery's own have 36."""

MAX_DEPTH = 100
"""How deep lists and objects of a message may be nested. Each step of copying, showing and storing arguments
descends as deep, and Python allows a thousand calls in all."""


def _is_text(value: Any) -> bool:
    # JSON may hold halves of characters, which no encoding takes.
    return isinstance(value, str) and value == value.encode(errors="replace").decode()


def _is_text_or_none(value: Any) -> bool:
    return value is None or _is_text(value)


def _is_id(value: Any) -> bool:
    return _is_text(value) and 0 < len(value) <= MAX_ID_CHARACTERS


def _are_texts_or_none(value: Any) -> bool:
    return value is None or (isinstance(value, list) and all(map(_is_text, value)))


def _is_time_or_none(value: Any) -> bool:
    if not isinstance(value, str):
        return value is None
    try:
        datetime.fromisoformat(value).astimezone(UTC)
    except OverflowError:
        return False
    except ValueError:
        pass  # Celery reads other forms, too, and has the rest set aside
    return _is_text(value)


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _is_signature_or_none(value: Any) -> bool:
    return not value or (
        isinstance(value, dict)
        and _is_text(value.get("task"))
        and [type(value.get(name)) for name in ("args", "kwargs", "options")] == [list, dict, dict]
    )


def _are_signatures_or_none(value: Any) -> bool:
    return not value or (isinstance(value, list) and all(one and _is_signature_or_none(one) for one in value))


def _is_whole_or_none(value: Any) -> bool:
    return value is None or (isinstance(value, int) and not isinstance(value, bool))


def _is_duration(value: Any) -> bool:
    return isinstance(value, (int, float)) and 0 <= value <= MAX_LIMIT_SECONDS


def _are_limits(value: Any) -> bool:
    return value is None or (
        isinstance(value, list)
        and len(value) == 2  # noqa: PLR2004 - hard and soft
        and all(one is None or _is_duration(one) for one in value)
    )


ENVELOPE: tuple[Check, ...] = (
    ("properties", _is_object, "an object"),
    ("headers", _is_object, "an object"),
    ("body", _is_text, "text"),
    ("content-type", _is_text_or_none, "text"),
    ("content-encoding", _is_text_or_none, "text"),
)
PROPERTIES: tuple[Check, ...] = (
    ("delivery_tag", _is_text, "text"),
    ("delivery_info", _is_object, "an object"),
    ("body_encoding", lambda value: value is None or value == "base64", '"base64"'),
    ("priority", _is_whole_or_none, "a whole number"),
    ("correlation_id", _is_text_or_none, "text"),
    ("reply_to", _is_text_or_none, "text"),
)
HEADERS: tuple[Check, ...] = (
    ("task", _is_text, "text"),
    ("id", _is_id, f"text of 1 to {MAX_ID_CHARACTERS:,} characters"),
    ("shadow", _is_text_or_none, "text"),
    ("origin", _is_text_or_none, "text"),
    ("group_index", _is_whole_or_none, "a whole number"),
    ("stamps", lambda value: value is None or _is_object(value), "an object"),
    ("stamped_headers", _are_texts_or_none, "a list of texts"),
    ("timelimit", _are_limits, "two numbers of seconds"),
    ("retries", _is_whole_or_none, "a whole number"),
    ("eta", _is_time_or_none, "a time of the calendar"),
    ("expires", _is_text_or_none, "text"),
    ("root_id", _is_text_or_none, "text"),
    ("parent_id", _is_text_or_none, "text"),
    ("group", _is_text_or_none, "text"),
    ("argsrepr", _is_text_or_none, "text"),
    ("kwargsrepr", _is_text_or_none, "text"),
    ("compression", _is_text_or_none, "text"),
)
OPTIONS: tuple[Check, ...] = (
    ("callbacks", _are_signatures_or_none, "a list of tasks to call"),
    ("errbacks", _are_signatures_or_none, "a list of tasks to call"),
    ("chain", _are_signatures_or_none, "a list of tasks to call"),
    ("chord", _is_signature_or_none, "a task to call"),
)


def problem_of(item: bytes) -> str | None:
    """Say what keeps a message in the queue from being one; None when Celery may have it."""
    try:
        # As text: from bytes Python reads UTF-16 too, which kombu does not.
        message = json.loads(item.decode())
    except UnicodeDecodeError:
        return "it is not UTF-8"
    except (ValueError, RecursionError) as error:
        return f"it is not JSON: {_sentence(error)}"
    if not isinstance(message, dict):
        return "it is not a JSON object"
    return _first_problem(ENVELOPE, message, "") or _problem_of_parts(message)


def _problem_of_parts(message: Mapping[str, Any]) -> str | None:
    properties = message["properties"]
    return (
        _first_problem(PROPERTIES, properties, "properties.")
        or _problem_of_headers(message["headers"])
        or _problem_of_body(message)
    )


def _problem_of_headers(headers: Mapping[str, Any]) -> str | None:
    # Without a task's name it is a message of protocol 1, which holds it in the body.
    return _first_problem(HEADERS, headers, "headers.") if "task" in headers else None


def _problem_of_body(message: Mapping[str, Any]) -> str | None:
    body, encoding = message["body"], message["properties"].get("body_encoding")
    try:
        content = base64.b64decode(body, validate=True) if encoding == "base64" else body.encode()
    except (binascii.Error, ValueError) as error:
        return f"its body is not base64: {error}"
    if message["headers"].get("compression") or message.get("content-type") != JSON:
        # Celery reads it, or refuses it by name.
        return None
    try:
        arguments = json.loads(content)
    except (ValueError, RecursionError) as error:
        return f"its body is not JSON: {_sentence(error)}"
    if problem := _problem_of_content(message["headers"], arguments):
        return problem
    return f"its body is nested deeper than {MAX_DEPTH} levels" if _is_deeper(arguments, MAX_DEPTH) else None


def _problem_of_content(headers: Mapping[str, Any], content: Any) -> str | None:
    if "task" in headers:
        if not _are_arguments(content):
            return "its body is not [arguments, keyword arguments, options]"
        return _first_problem(OPTIONS, content[2] or {}, "options.")
    # Of protocol 1, which has them all in one object; Celery looks at its arguments alone.
    is_task = isinstance(content, dict) and "task" in content
    return _first_problem((*HEADERS, *OPTIONS), content, "body.") if is_task else None


def _are_arguments(value: Any) -> bool:
    return (
        isinstance(value, list)
        and [type(one) for one in value[:2]] == [list, dict]
        and len(value) == 3  # noqa: PLR2004
        and (value[2] is None or isinstance(value[2], dict))
    )


def _is_deeper(value: Any, depth: int) -> bool:
    level: list[Any] = [value]
    for _ in range(depth):
        level = [child for one in level for child in _children(one)]
    return any(isinstance(one, (dict, list)) for one in level)


def _children(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _first_problem(checks: tuple[Check, ...], values: Mapping[str, Any], where: str) -> str | None:
    for name, holds, wanted in checks:
        if not holds(values.get(name)):
            return f"{where}{name} is not {wanted}"
    return None


def _sentence(error: Exception) -> str:
    return "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
