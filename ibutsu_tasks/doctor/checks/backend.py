"""The check of the result backend: a real write, read and removal."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from redis.exceptions import RedisError

from ibutsu_tasks.broker.connection import build_client, describe
from ibutsu_tasks.doctor.redis_faults import explain
from ibutsu_tasks.doctor.report import Finding, finding
from ibutsu_tasks.doctor.running import CALL_SECONDS

if TYPE_CHECKING:
    from redis import Redis

    from ibutsu_tasks.settings import Settings

KEY_PREFIX = "ibutsu-tasks:doctor:"
KEY_TTL_SECONDS = 30
"""Should this process die before it removes its key."""


def check_backend(settings: Settings) -> list[Finding]:
    """Write a value of our own where results are kept, read it back and remove it."""
    url = settings.backend_url or settings.require_broker()
    try:
        with build_client(url, CALL_SECONDS) as client:
            returned = _round_trip(client)
    except (RedisError, OSError) as error:
        return [explain(error, settings, "backend")]
    if not returned:
        return [
            finding(
                "IBT-R28",
                f"What was written to {describe(url)} was not read back.",
                "Name one writable server, without a proxy that spreads reads, in CELERY_RESULT_BACKEND.",
            )
        ]
    return [finding("IBT-R00", f"A value was written to {describe(url)}, read back and removed.")]


def _round_trip(client: Redis) -> bool:
    token = secrets.token_hex(8)
    key = f"{KEY_PREFIX}{token}"
    client.set(key, token, ex=KEY_TTL_SECONDS)
    value = client.get(key)
    client.delete(key)
    return value == token.encode()
