"""The URL of a Redis, checked once for everybody: Celery, kombu and redis-py each read URLs in their own way.

Nobody but this module reads one: who connects is given its parts, or a URL of its parts without options.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ibutsu_tasks.settings.urls import Url, read_options, said_of, split_urls, take_apart
from ibutsu_tasks.settings.values import UnusableError, count, one_of, seconds, whole_number

if TYPE_CHECKING:
    from collections.abc import Callable

BROKER_SCHEMES = ("redis", "rediss", "redis+socket")
DEFAULT_PORT = 6379

LEAST_CONNECTIONS = 2
"""A worker holds one connection that waits for messages and one that listens to broadcasts."""


def _yes_or_no(value: str) -> bool:
    return one_of(("true", "false", "yes", "no", "1", "0"))(value) in {"true", "yes", "1"}


def _verification(value: str) -> str:
    """Read how certificates are checked, in redis-py's spelling or Celery's: `required`, `CERT_REQUIRED`."""
    return one_of(("required", "optional", "none"))(value.upper().removeprefix("CERT_"))


def _file(value: str) -> str:
    if not (os.access(value, os.R_OK) and Path(value).is_file()):
        raise UnusableError("names no file that is there")
    return value


_CONNECTION_OPTIONS: dict[str, Callable[[str], Any]] = {
    "client_name": str,
    "health_check_interval": count,
    "max_connections": whole_number(LEAST_CONNECTIONS),
    "retry_on_timeout": _yes_or_no,
    "socket_connect_timeout": seconds,
    "socket_keepalive": _yes_or_no,
    "socket_timeout": seconds,
}
_TLS_OPTIONS: dict[str, Callable[[str], Any]] = {
    "ssl_ca_certs": _file,
    "ssl_ca_path": str,
    "ssl_cert_reqs": _verification,
    "ssl_certfile": _file,
    "ssl_check_hostname": _yes_or_no,
    "ssl_keyfile": _file,
    "ssl_password": str,
}
_PLACE_OPTIONS: dict[str, Callable[[str], Any]] = {
    "db": count,
    "password": str,
    "username": str,
    "virtual_host": count,
}
_OPTIONS = dict(sorted((_CONNECTION_OPTIONS | _TLS_OPTIONS | _PLACE_OPTIONS).items()))


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """Where a Redis is and how to connect; `options` and `tls` are redis-py's, of its types.

    `path` is that of a unix socket, else None. `tls` is None without TLS; with it, certificates are checked
    unless the URL says otherwise.
    """

    host: str
    port: int
    path: str | None
    db: int
    user: str | None
    password: str | None
    options: dict[str, Any]
    tls: dict[str, Any] | None

    @property
    def place(self) -> str:
        """Name it without credentials: `host:port/db` or the path of a socket."""
        return self.path or f"{self._bracketed_host}:{self.port}/{self.db}"

    @property
    def bare_url(self) -> str:
        """Give the URL in Celery's spelling, without the options: Celery and kombu misread them."""
        user, password = quote(self.user or "", safe=""), quote(self.password or "", safe="")
        login = f"{user}{':' if password else ''}{password}@" if user or password else ""
        if self.path:
            return f"redis+socket://{login}{quote(self.path)}?virtual_host={self.db}"
        return f"redis{'s' if self.tls else ''}://{login}{self._bracketed_host}:{self.port}/{self.db}"

    @property
    def _bracketed_host(self) -> str:
        return f"[{self.host}]" if ":" in self.host else self.host


def read_address(url: str) -> RedisAddress:
    """Give the Redis a setting names. Raises UnusableError."""
    return _read(url)[1]


def broker_url(value: str) -> str:
    """Check one Redis URL, and quote its password.

    Celery would go over from one URL to another, and leave messages, leases and the lead of beat behind.
    """
    if len(split_urls(value)) > 1:
        raise UnusableError("names several URLs; name one that always leads to the primary")
    return _read(value)[0]


def backend_url(value: str) -> str:
    """Check one Redis URL, and quote its password."""
    if len(split_urls(value)) > 1:
        raise UnusableError("names several URLs; Celery keeps results in one")
    return _read(value)[0]


def cache_url(value: str) -> str:
    """Check one Redis URL, and quote its password."""
    if len(split_urls(value)) > 1:
        raise UnusableError("names several URLs; name one")
    return _read(value)[0]


def _read(value: str) -> tuple[str, RedisAddress]:
    url, parts = take_apart(value, BROKER_SCHEMES, "redis://host:6379/0")
    with said_of(url):
        return url, _address(parts, read_options(parts.options, _OPTIONS))


def _address(parts: Url, options: dict[str, Any]) -> RedisAddress:
    is_socket = parts.scheme == "redis+socket"
    if is_socket and (parts.host or len(parts.path) < 2):  # noqa: PLR2004 - more than the slash
        raise UnusableError("must name a socket behind three slashes, as redis+socket:///run/redis.sock")
    tls = {name: value for name, value in options.items() if name in _TLS_OPTIONS}
    if tls and parts.scheme != "rediss":
        raise UnusableError("has options of TLS, which need rediss://")
    return RedisAddress(
        host=parts.host or "localhost",
        port=parts.port or DEFAULT_PORT,
        path=parts.path if is_socket else None,
        db=_only_one(
            "databases", 0 if is_socket else _database(parts.path), *_all(parts, "db", "virtual_host")
        ),
        user=_only_one("users", parts.user, *_all(parts, "username")),
        password=_only_one("passwords", parts.password, *_all(parts, "password")),
        options={name: value for name, value in options.items() if name in _CONNECTION_OPTIONS},
        tls={"ssl_cert_reqs": "required", **tls} if parts.scheme == "rediss" else None,
    )


def _all(parts: Url, *names: str) -> list[Any]:
    return [_PLACE_OPTIONS[name](value) for name, value in parts.options if name in names and value]


def _only_one(what: str, first: Any, *options: Any) -> Any:
    """Give the one value of options and of what stands `first`, where 0 is none, in the URL.

    Of two, redis-py, Celery and kombu would not take the same.
    """
    found = {*options, *filter(None, [first])}
    if len(found) > 1:
        raise UnusableError(f"names two {what}; leave one of them")
    return next(iter(found), first)


def _database(path: str) -> int:
    number = path.strip("/")
    if not re.fullmatch(r"[0-9]{0,9}", number):
        raise UnusableError("must end in the number of a database, as in redis://host:6379/0")
    return int(number or 0)
