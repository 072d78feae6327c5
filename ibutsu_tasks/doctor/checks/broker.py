"""The check of the broker: that it answers and is fit to hold messages."""

from __future__ import annotations

import re
from collections import Counter
from itertools import islice
from typing import TYPE_CHECKING, Any

from redis.exceptions import NoPermissionError, RedisError

from ibutsu_tasks.broker.connection import address_of, build_client, describe
from ibutsu_tasks.broker.garbled import GarbledKey, find_garbled
from ibutsu_tasks.broker.layout import QUARANTINE
from ibutsu_tasks.delivery.dead.quarantine import count_set_aside, read_set_aside
from ibutsu_tasks.doctor.codes import Severity
from ibutsu_tasks.doctor.redis_faults import explain
from ibutsu_tasks.doctor.report import Finding, finding, variable_of
from ibutsu_tasks.doctor.running import CALL_SECONDS
from ibutsu_tasks.text.control_characters import visible

if TYPE_CHECKING:
    from collections.abc import Iterator

    import redis

    from ibutsu_tasks.settings import Settings

OLDEST_VERSION = (6, 2)
"""What Celery 5.7 requires."""

MEMORY_WARNING_FRACTION = 0.8

MOST_SEEN = 1000
"""Messages set aside that are read to say what they are; all are counted."""

MOST_KINDS = 3
MAX_NAME_CHARS = 60


def check_broker(settings: Settings) -> list[Finding]:
    """Ping the broker and judge what it says about itself."""
    url = settings.require_broker()
    try:
        with build_client(url, CALL_SECONDS) as client:
            client.ping()
            found = judge(client.info(), describe(url), variable_of(settings, "broker_url"))
            # Of a server that is not fit to hold messages nothing more is asked.
            if found[0].severity is Severity.OK:
                garbled = find_garbled(client, settings.consumed_queues)
                found += [_garbled(one, url) for one in garbled]
                found += [] if QUARANTINE in {one.key for one in garbled} else _set_aside(client)
    except NoPermissionError:
        return [
            finding(
                "IBT-B29",
                f"Redis at {describe(url)} answers, but this user may not run INFO: its state is unknown.",
                "Allow it: `redis-cli ACL SETUSER <user> +info`.",
            )
        ]
    except (RedisError, OSError) as error:
        return [explain(error, settings, "broker")]
    return found


def _garbled(one: GarbledKey, url: str) -> Finding:
    return finding(
        "IBT-B31",
        f"In Redis at {describe(url)} {visible(str(one))}:"
        " another program wrote it, and what needs it fails.",
        one.remedy(address_of(url).db),
    )


def _set_aside(client: redis.Redis) -> Iterator[Finding]:
    number = count_set_aside(client)
    seen = list(islice(read_set_aside(client), MOST_SEEN)) if number else []
    if not seen:
        return
    by_task = Counter((one.content.task or "no task").rpartition(".")[2][:MAX_NAME_CHARS] for one in seen)
    kinds = ", ".join(f"{visible(task)} ({count})" for task, count in by_task.most_common(MOST_KINDS))
    messages, them = ("1 message was", "it") if number == 1 else (f"{number} messages were", "them")
    yield finding(
        "IBT-B30",
        f"{messages} set aside by workers, for none could carry {them} out: {kinds}; the oldest at"
        f" {min((one.at for one in seen if one.at), default='a time that is not known')}.",
        "`ibutsu-tasks dead list` shows each with its reason, `dead retry` sends it again.",
    )


def judge(state: dict[str, Any], place: str, variable: str) -> list[Finding]:
    """Give the findings about a server's `INFO`; one that says all is well when none is bad."""
    found = list(_faults(state, place, variable))
    return found or [finding("IBT-B00", f"{_product(state)} at {place} answers.")]


def _faults(state: dict[str, Any], place: str, variable: str) -> Iterator[Finding]:
    if state.get("cluster_enabled"):
        yield finding(
            "IBT-B21",
            f"Redis at {place} is a node of a cluster, which Celery cannot use.",
            f"Name a single server, in {variable}.",
        )
    elif state.get("role") in {"slave", "replica"}:
        primary = f"{state.get('master_host')}:{state.get('master_port')}"
        yield finding(
            "IBT-B20",
            f"Redis at {place} is a read-only replica of {primary}.",
            f"Name the primary in {variable}.",
        )
    version = str(state.get("redis_version", ""))
    numbers = tuple(int(number) for number in re.findall(r"\d+", version)[:2])
    if numbers and numbers < OLDEST_VERSION:
        wanted = ".".join(map(str, OLDEST_VERSION))
        yield finding(
            "IBT-B22",
            f"Redis at {place} has version {version}; Celery needs {wanted} or newer.",
            f"Update the server to Redis {wanted} or newer, or to Valkey.",
        )
    policy = state.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        yield finding(
            "IBT-B23",
            f"Redis at {place} may evict keys when memory is short ({policy}): messages would be lost.",
            "Run `redis-cli CONFIG SET maxmemory-policy noeviction` there.",
        )
    used, most = int(state.get("used_memory", 0)), int(state.get("maxmemory", 0))
    if most and used > MEMORY_WARNING_FRACTION * most:
        yield finding(
            "IBT-B24",
            f"Redis at {place} uses {used / most:.0%} of its {most / 1e6:.0f} MB;"
            " when full, it takes no message.",
            "Raise it: `redis-cli CONFIG SET maxmemory <bytes>`; `redis-cli --bigkeys` shows who has it.",
        )


def _product(state: dict[str, Any]) -> str:
    if "valkey_version" in state:
        return f"Valkey {state['valkey_version']}"
    return f"Redis {state.get('redis_version', '')}".strip()
