"""The form of a setting: a row says what it means, and how the text it is given as is checked and parsed.

Every parser takes the text and raises UnusableError with the end of a sentence: `must be …`.
"""

from __future__ import annotations

import re
from dataclasses import field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ibutsu_tasks.packages.declaration import HIGHEST_PRIORITY, Route, Setting
from ibutsu_tasks.text.quoting import cut

if TYPE_CHECKING:
    from collections.abc import Callable

NONE = "–"
"""How a setting without a value is shown."""

LOG_LEVELS = ("debug", "info", "warning", "error", "critical")
LOG_FORMATS = ("text", "json")
SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")

PRIORITIES = tuple(str(number) for number in range(HIGHEST_PRIORITY + 1))

NAME = r"[^\W\d]\w*"
MODULE = rf"{NAME}(\.{NAME})*"

MAX_PORT = 65535
MAX_NUMBER = 2**31 - 1
"""What the libraries behind a number keep it in."""

MAX_PROCESSES = 10_000

MAX_SECONDS = 10 * 365 * 86400
MIN_LEASE_SECONDS, MAX_LEASE_SECONDS = 1, 900
"""Ten years: what Redis, timers and dates all take."""


class UnusableError(ValueError):
    """A value that cannot be used: `what` ends the sentence, `quoted` is what may be shown of the value.

    `joint` stands between the two. What holds an `@` may be a login with its password, in a setting that it
    was not meant for, and is not shown.
    """

    def __init__(self, what: str, quoted: str | None = None, joint: str = ", not ") -> None:
        if quoted is None or "@" in quoted:
            super().__init__(what)
        else:
            super().__init__(f"{what}{joint}{cut(quoted)!r}")
        self.what = what


def whole_number(minimum: int, maximum: int = MAX_NUMBER) -> Callable[[str], int]:
    """Give a parser of whole numbers from `minimum` to `maximum`."""

    def parse(value: str) -> int:
        try:
            number = int(value.replace("_", ""))
        except ValueError:
            raise UnusableError("must be a whole number", value) from None
        if number < minimum:
            raise UnusableError(f"must be at least {minimum}", value)
        if number > maximum:
            raise UnusableError(f"must be at most {maximum}", value)
        return number

    return parse


def seconds(value: str) -> float:
    """Parse a positive number of seconds."""
    try:
        number = float(value)
    except ValueError:
        raise UnusableError("must be a number of seconds", value) from None
    if not 0 < number <= MAX_SECONDS:
        raise UnusableError(f"must be a positive number of seconds up to {MAX_SECONDS} (ten years)", value)
    return number


def lease_seconds(value: str) -> float:
    """Parse the seconds of a lease: a busy moment must not end it, and Celery's own hour is far."""
    number = seconds(value)
    if not MIN_LEASE_SECONDS <= number <= MAX_LEASE_SECONDS:
        raise UnusableError(f"must be from {MIN_LEASE_SECONDS} to {MAX_LEASE_SECONDS} seconds", value)
    return number


def one_of(choices: tuple[str, ...]) -> Callable[[str], str]:
    """Give a parser of one of `choices`, in any case."""

    def parse(value: str) -> str:
        if value.lower() not in choices:
            raise UnusableError(f"must be one of {', '.join(choices)}", value)
        return value.lower()

    return parse


def concurrency(value: str) -> int | str:
    """Parse a whole number, or `auto`."""
    return "auto" if value.lower() == "auto" else whole_number(1, MAX_PROCESSES)(value)


def switch(value: str) -> bool:
    """Parse `1` or `0`, or a word for it."""
    meanings = {"1": True, "true": True, "yes": True, "on": True}
    meanings |= {"0": False, "false": False, "no": False, "off": False}
    if value.lower() not in meanings:
        raise UnusableError("must be 1 or 0", value)
    return meanings[value.lower()]


def queues(value: str) -> tuple[str, ...]:
    """Parse names separated by commas."""
    found = names(value)
    if not found:
        raise UnusableError("names no queue")
    return found


def names(value: str) -> tuple[str, ...]:
    """Parse names separated by commas; there may be none."""
    return tuple(dict.fromkeys(name.strip() for name in value.split(",") if name.strip()))


def modules(value: str) -> tuple[str, ...]:
    """Parse `module` or `module:name`, separated by commas."""
    for place in names(value):
        if not re.fullmatch(f"{MODULE}(:{NAME})?", place):
            raise UnusableError("must be modules, or module:name, separated by commas", place)
    return names(value)


def object_in_module(value: str) -> str:
    """Parse `module:name`."""
    if not re.fullmatch(f"{MODULE}:{NAME}", value):
        raise UnusableError("must be module:name", value)
    return value


def routes(value: str) -> tuple[Route, ...]:
    """Parse `pattern=queue` or `pattern=queue:priority`, separated by commas."""
    return tuple(map(_route, names(value)))


def _route(text: str) -> Route:
    tasks, _, place = text.partition("=")
    queue, colon, priority = place.partition(":")
    if not (tasks and queue) or "=" in place:
        raise UnusableError("must be PATTERN=QUEUE[:PRIORITY] separated by commas", text)
    if colon and priority not in PRIORITIES:
        raise UnusableError("must have priorities from 0 to 9", text)
    return Route(tasks, queue, int(priority) if colon else None)


def directory(value: str) -> Path:
    """Parse a path, `~` being somebody's home."""
    try:
        return Path(value).expanduser().absolute()
    except RuntimeError:
        raise UnusableError("begins with the home of a user who does not exist", value) from None
    except FileNotFoundError:
        raise UnusableError("must be absolute where the current directory was removed", value) from None


def basic_auth(value: str) -> str:
    """Check `user:password`."""
    user, separator, password = value.partition(":")
    if not (user and separator and password):
        raise UnusableError("must be user:password")
    if "," in value or not value.isascii():
        raise UnusableError("must be plain ASCII without a comma: Flower splits it at commas")
    return value


def default_of(row: Setting) -> str:
    """Give the default of a setting as it is shown, with its unit."""
    text = row.default_text or as_text(row.default)
    return text if text == NONE else f"{text} {row.unit}".strip()


def as_text(value: Any) -> str:
    """Give a value as it is shown, `–` for none."""
    if isinstance(value, tuple):
        return ",".join(map(str, value)) or NONE
    if isinstance(value, bool):
        return str(int(value))
    return NONE if value is None else f"{value:.15g}" if isinstance(value, float) else str(value)


def setting(
    variables: str,
    help_text: str,
    default: Any = None,
    *,
    parse: Callable[[str], Any] = str,
    unit: str = "",
    secret: bool = False,
    default_text: str | None = None,
    flags: str = "",
    group: str = "",
    is_port: bool = False,
) -> Any:
    """Give a field of `Settings`; it is known by the first of `variables`, separated by spaces."""
    row = Setting(
        name="",
        variables=tuple(variables.split()),
        help=help_text,
        default=default,
        parse=parse,
        unit=unit,
        secret=secret,
        default_text=default_text or "",
        flags=tuple(flags.split()),
        group=group,
        is_port=is_port,
    )
    return field(default=default, metadata={"row": row})


count = whole_number(0)
number = partial(setting, parse=whole_number(1))
port = partial(setting, parse=whole_number(1, MAX_PORT), is_port=True)
duration = partial(setting, parse=seconds, unit="s")
secret = partial(setting, secret=True)
