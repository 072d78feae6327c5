"""The texts that settings are given as: how each kind is checked and parsed.

Every parser takes the text and raises ValueError with the end of a sentence: `must be …`.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING
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


def text(value: str) -> str:
    """Take the text as it is."""
    return value


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


def _scheme(url: str) -> str:
    scheme, separator, _ = url.partition("://")
    if not separator:
        raise ValueError("is not a URL (expected something like redis://host:6379/0)")
    return scheme.lower()


def broker_url(value: str) -> str:
    """Check one Redis URL or several separated by `;`, and quote their passwords."""
    urls = split_urls(value)
    for url in urls:
        if _scheme(url) not in BROKER_SCHEMES:
            raise ValueError(
                f"has the scheme {_scheme(url)}://; Ibutsu's queue is Redis ({', '.join(BROKER_SCHEMES)})"
            )
    return ";".join(quote_password(url) for url in urls)


def database_url(value: str) -> str:
    """Check a PostgreSQL URL, name its driver, and quote its password."""
    try:
        scheme = _scheme(value)
    except ValueError:
        raise ValueError(
            "is not a URL (expected something like postgresql://user:password@host/name)"
        ) from None
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
