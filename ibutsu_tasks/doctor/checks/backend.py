"""The check of the result backend, and of the tasks' cache: a real write, read and removal."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from redis.exceptions import RedisError

from ibutsu_tasks.broker.connection import build_client, describe
from ibutsu_tasks.doctor.redis_faults import explain
from ibutsu_tasks.doctor.report import Finding, finding, variable_of
from ibutsu_tasks.doctor.running import CALL_SECONDS

if TYPE_CHECKING:
    from redis import Redis

    from ibutsu_tasks.settings import Settings

KEY_PREFIX = "ibutsu-tasks:doctor:"
KEY_TTL_SECONDS = 30
"""Should this process die before it removes its key."""


def check_backend(settings: Settings) -> list[Finding]:
    """Write a value of our own where results are kept, and where tasks cache, read it back and remove it."""
    results = "result_backend" if settings.result_backend else "broker_url"
    return [_examine(settings, field) for field in (results, "own_cache_url") if getattr(settings, field)]


def _examine(settings: Settings, field: str) -> Finding:
    url = getattr(settings, field)
    try:
        with build_client(url, CALL_SECONDS) as client:
            returned = _round_trip(client)
    except (RedisError, OSError) as error:
        return explain(error, settings, "backend", field)
    if not returned:
        variable = variable_of(settings, field)
        return finding(
            "IBT-R28",
            f"What was written to {describe(url)} was not read back.",
            f"Name one writable server, without a proxy that spreads reads, in {variable}.",
        )
    return finding("IBT-R00", f"A value was written to {describe(url)}, read back and removed.")


def _round_trip(client: Redis) -> bool:
    token = secrets.token_hex(8)
    key = f"{KEY_PREFIX}{token}"
    client.set(key, token, ex=KEY_TTL_SECONDS)
    value = client.get(key)
    client.delete(key)
    return value == token.encode()
