"""Clients of the broker's Redis, their addresses and time limits."""

from __future__ import annotations

from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from ibutsu_tasks.settings.redis_url import RedisAddress, read_address

TIMEOUT_SECONDS = 5.0
HEALTH_CHECK_SECONDS = 25

_TIMEOUTS = {"socket_timeout", "socket_connect_timeout"}


def address_of(url: str) -> RedisAddress:
    """Take the URL of a setting apart."""
    return read_address(url)


def celery_url(url: str) -> str:
    """Give a URL without options: kombu and Celery misread them and are given them apart."""
    return address_of(url).bare_url


def celery_options(url: str, timeout_seconds: float, *, at_most: bool = False) -> dict[str, Any]:
    """Give the options of a connection of kombu's: those of `url` over those these applications choose.

    `timeout_seconds` is for every answer; with `at_most`, the URL's own time-outs can only be shorter.
    """
    address = address_of(url)
    chosen = {"socket_timeout": timeout_seconds, "health_check_interval": HEALTH_CHECK_SECONDS}
    if address.path is None:
        chosen |= {"socket_connect_timeout": min(timeout_seconds, TIMEOUT_SECONDS), "socket_keepalive": True}
    options = chosen | address.options
    if at_most:
        options |= {name: min(options[name], chosen[name]) for name in _TIMEOUTS & chosen.keys()}
    return options


def describe(broker_url: str) -> str:
    """Name the place a broker URL points at, without credentials: `host:port/db` or a socket path."""
    return address_of(broker_url).place


def build_client(broker_url: str, timeout_seconds: float = TIMEOUT_SECONDS) -> redis.Redis:
    """Describe a client whose every call ends within `timeout_seconds`; nothing connects before first use."""
    address = address_of(broker_url)
    options = celery_options(broker_url, timeout_seconds, at_most=True)
    # Our own retry stands in its place; redis-py knows the option no more.
    options.pop("retry_on_timeout", None)
    return redis.Redis(
        host=address.host,
        port=address.port,
        unix_socket_path=address.path,
        db=address.db,
        username=address.user,
        password=address.password,
        ssl=address.tls is not None,
        # redis-py retries three times by default, which would multiply the time limit.
        retry=Retry(NoBackoff(), 0),
        **{"client_name": "ibutsu-tasks"} | options | (address.tls or {}),
    )
