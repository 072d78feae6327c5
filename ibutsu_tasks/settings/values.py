"""The form of a setting: a row says what it means, and how the text it is given as is checked and parsed.

Every parser takes the text and raises ValueError with the end of a sentence: `must be …`.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Callable

NONE = "–"
"""How a setting without a value is shown."""

BROKER_SCHEMES = ("redis", "rediss", "redis+socket")
LOG_LEVELS = ("debug", "info", "warning", "error", "critical")
LOG_FORMATS = ("text", "json")

_HEAD = r"(?P<head>[a-z][a-z0-9+.-]*://[^:@/?#\s]*:)"
_PROPER_URL = re.compile(
    _HEAD + r"(?P<password>[^@/?#]+)(?P<tail>@(?:[^@/?#]+(?:/[^@?#]*)?|/[^@?#]*)(?:\?[\w.-]+=.*)?)$",
    re.IGNORECASE,
)
_ODD_URL = re.compile(_HEAD + r"(?P<password>.*)(?P<tail>@[^@/?#]*(?:[/?#].*)?)$", re.IGNORECASE)
_UNQUOTED = "%!$&'()*+,=~._-:"
_STRAY_PERCENT = re.compile(r"%(?![0-9a-fA-F]{2})")


def whole_number(minimum: int) -> Callable[[str], int]:
    """Give a parser of whole numbers not under `minimum`."""

    def parse(value: str) -> int:
        try:
            number = int(value.replace("_", ""))
        except ValueError:
            raise ValueError(f"must be a whole number, not {value!r}") from None
        if number < minimum:
            raise ValueError(f"must be at least {minimum}, not {number}")
        return number

    return parse


def seconds(value: str) -> float:
    """Parse a positive number of seconds."""
    try:
        number = float(value)
    except ValueError:
        raise ValueError(f"must be a number of seconds, not {value!r}") from None
    if not math.isfinite(number) or number <= 0:
        raise ValueError(f"must be a positive number of seconds, not {value!r}")
    return number


def one_of(choices: tuple[str, ...]) -> Callable[[str], str]:
    """Give a parser of one of `choices`, in any case."""

    def parse(value: str) -> str:
        if value.lower() not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}, not {value!r}")
        return value.lower()

    return parse


def concurrency(value: str) -> int | str:
    """Parse a whole number, or `auto`."""
    return "auto" if value.lower() == "auto" else whole_number(1)(value)


def queues(value: str) -> tuple[str, ...]:
    """Parse names separated by commas."""
    names = tuple(dict.fromkeys(name.strip() for name in value.split(",") if name.strip()))
    if not names:
        raise ValueError("names no queue")
    return names


def split_urls(value: str) -> list[str]:
    """Split several URLs separated by `;`, which a password may hold as well."""
    return re.split(r";(?=[a-z+]+://)", value)


def split_password(url: str) -> tuple[str, str, str] | None:
    """Give what stands before the password of a URL, the password and the rest; None when it has none."""
    match = _PROPER_URL.match(url) or _ODD_URL.match(url)
    return (match["head"], match["password"], match["tail"]) if match else None


def quote_password(url: str) -> str:
    """Percent-encode what a password may hold raw (`@`, `/`, `#`, `%`); a proper URL stays as it is."""
    parts = split_password(url)
    if parts is None:
        return url
    head, password, tail = parts
    return f"{head}{quote(_STRAY_PERCENT.sub('%25', password), safe=_UNQUOTED)}{tail}"


def _scheme(url: str, example: str) -> str:
    scheme, separator, _ = url.partition("://")
    if not separator:
        raise ValueError(f"is not a URL (expected something like {example})")
    return scheme.lower()


def broker_url(value: str) -> str:
    """Check one Redis URL or several separated by `;`, and quote their passwords."""
    urls = split_urls(value)
    for url in urls:
        scheme = _scheme(url, "redis://host:6379/0")
        if scheme not in BROKER_SCHEMES:
            known = ", ".join(BROKER_SCHEMES)
            raise ValueError(f"has the scheme {scheme}://; Ibutsu's queue is Redis ({known})")
    return ";".join(quote_password(url) for url in urls)


def database_url(value: str) -> str:
    """Check a PostgreSQL URL, name its driver, and quote its password."""
    scheme = _scheme(value, "postgresql://user:password@host/name")
    if scheme not in {"postgres", "postgresql", "postgresql+psycopg2"}:
        raise ValueError(f"has the scheme {scheme}://; Ibutsu's database is PostgreSQL (postgresql://)")
    return quote_password("postgresql+psycopg2://" + value.partition("://")[2])


def basic_auth(value: str) -> str:
    """Check `user:password`."""
    user, separator, password = value.partition(":")
    if not (user and separator and password):
        raise ValueError("must be user:password")
    if "," in value or not value.isascii():
        raise ValueError("must be plain ASCII without a comma: Flower splits it at commas")
    return value


@dataclass(frozen=True, slots=True)
class Row:
    """What a setting is: where it is read from, what it means, how it is checked."""

    name: str
    variables: tuple[str, ...]
    default_text: str
    unit: str
    help: str
    secret: bool
    parse: Callable[[str], Any]
    flags: tuple[str, ...]
    """The spellings of the command-line option that sets it, where there is one."""


def as_text(value: Any) -> str:
    """Give a value as it is shown, `–` for none."""
    if isinstance(value, tuple):
        return ",".join(map(str, value)) or NONE
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
) -> Any:
    """Give a field of `Settings`; it is known by the first of `variables`, separated by spaces."""
    metadata = {
        "variables": tuple(variables.split()),
        "parse": parse,
        "unit": unit,
        "help": help_text,
        "secret": secret,
        "default_text": default_text or as_text(default),
        "flags": tuple(flags.split()),
    }
    return field(default=default, metadata=metadata)


number = partial(setting, parse=whole_number(1))
duration = partial(setting, parse=seconds, unit="s")
secret = partial(setting, secret=True)
