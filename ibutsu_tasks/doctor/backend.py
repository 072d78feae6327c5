"""The check of the result backend: a real write, read and removal."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from redis.exceptions import OutOfMemoryError, ReadOnlyError, RedisError

from ibutsu_tasks.broker import build_client, describe
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
    client = build_client(url, CALL_SECONDS)
    try:
        returned = _round_trip(client)
    except (RedisError, OSError) as error:
        return [_refused(error, describe(url)) or explain(error, settings, "backend")]
    finally:
        client.close()
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


def _refused(error: Exception, place: str) -> Finding | None:
    if isinstance(error, ReadOnlyError):
        return finding(
            "IBT-R20",
            f"Redis at {place} is a read-only replica: results cannot be written.",
            "Name the primary in CELERY_RESULT_BACKEND.",
        )
    if isinstance(error, OutOfMemoryError) or str(error).startswith("OOM"):
        return finding(
            "IBT-R25",
            f"The memory of Redis at {place} is full: it takes neither results nor messages.",
            "Raise it: `redis-cli CONFIG SET maxmemory <bytes>`.",
        )
    if str(error).startswith("MISCONF"):
        return finding(
            "IBT-R27",
            f"Redis at {place} refuses writes because it cannot save to its disk.",
            "Free space on its disk, then run `redis-cli BGSAVE` there.",
        )
    return None
