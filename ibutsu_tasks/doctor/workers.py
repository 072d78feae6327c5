"""The check of the workers: who answers, and that somebody consumes every queue with messages."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kombu import Connection
from kombu.exceptions import KombuError
from kombu.pidbox import Mailbox
from redis.exceptions import RedisError

from ibutsu_tasks.broker import BINDING_SEPARATOR, build_client, queue_depth
from ibutsu_tasks.doctor.limits import CALL_SECONDS, REPLY_SECONDS
from ibutsu_tasks.doctor.naming import reason_of
from ibutsu_tasks.doctor.report import Finding, finding
from ibutsu_tasks.queues import DEFAULT_QUEUE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from redis import Redis

    from ibutsu_tasks.settings import Settings

CONTROL_NAMESPACE = "celery"
"""Celery's default for `control_exchange`: workers listen on the fanout exchange `celery.pidbox`."""

BINDING_PREFIX = "_kombu.binding."
NOT_QUEUES = ("celeryev.",)
CONTROL_SUFFIX = ".pidbox"
BEAT_NODE_PREFIX = "celerybeat@"
MOST_SCANS = 50
KEYS_PER_SCAN = 1000
"""A broker with a million results is looked through in part: a check must not become a load."""

SHOWN_NAMES = 5


@dataclass(frozen=True, slots=True)
class Fleet:
    """Queues each worker consumes, by node name, and messages waiting, by queue."""

    consumed: Mapping[str, frozenset[str]]
    waiting: Mapping[str, int]


def check_workers(settings: Settings) -> list[Finding]:
    """Ask all workers at once which queues they consume, and compare with what waits."""
    client = build_client(settings.require_broker(), CALL_SECONDS)
    try:
        fleet = Fleet(_ask_workers(settings, client), _waiting(client, settings.worker_queues))
    except (RedisError, KombuError, OSError) as error:
        seen = f"The broker failed while workers were asked: {reason_of(error, settings)}"
        return [finding("IBT-W19", seen, "Run `ibutsu-tasks doctor --only broker`.")]
    finally:
        client.close()
    return judge(fleet, settings.worker_queues)


def judge(fleet: Fleet, wanted_queues: Iterable[str]) -> list[Finding]:
    """Give the findings about the workers and queues there are; `wanted_queues` ought to be consumed."""
    if not fleet.consumed:
        return [_no_worker(fleet.waiting)]
    served = frozenset().union(*fleet.consumed.values())
    wanted = {DEFAULT_QUEUE, *wanted_queues}
    unserved = sorted((wanted | fleet.waiting.keys()) - served)
    found = [_starving(queue, fleet.waiting[queue]) for queue in unserved if fleet.waiting.get(queue)]
    found += [_unserved(queue) for queue in unserved if queue in wanted and not fleet.waiting.get(queue)]
    return found or [_all_well(fleet, served)]


def _ask_workers(settings: Settings, client: Redis) -> dict[str, frozenset[str]]:
    url = settings.require_broker()
    # Certificates are checked unless the URL says otherwise, as in the worker itself.
    bare_tls = url.startswith("rediss://") and "ssl_cert_reqs" not in url
    options = {
        "socket_timeout": CALL_SECONDS,
        "socket_connect_timeout": CALL_SECONDS,
        "max_retries": 0,
    }
    tls = {"ssl_cert_reqs": ssl.CERT_REQUIRED} if bare_tls else False
    with Connection(url, ssl=tls, transport_options=options) as connection:
        mailbox = Mailbox(CONTROL_NAMESPACE, type="fanout", connection=connection)
        # All that are known having answered ends the wait early.
        replies = mailbox.multi_call("active_queues", timeout=REPLY_SECONDS, limit=_known_nodes(client))
    return {node: _queue_names(queues) for reply in replies or () for node, queues in reply.items()}


def _queue_names(reply: Any) -> frozenset[str]:
    return frozenset(str(queue["name"]) for queue in reply) if isinstance(reply, list) else frozenset()


def _known_nodes(client: Redis) -> int | None:
    """Count the workers that listen to broadcasts; None, no limit, when none is known."""
    members = _bound(client, f"{BINDING_PREFIX}{CONTROL_NAMESPACE}{CONTROL_SUFFIX}")
    return sum(not queue.startswith(BEAT_NODE_PREFIX) for queue in members) or None


def _waiting(client: Redis, wanted_queues: Iterable[str]) -> dict[str, int]:
    names = {DEFAULT_QUEUE, *wanted_queues, *_known_queues(client)}
    return {name: queue_depth(client, name) for name in sorted(names)}


def _known_queues(client: Redis) -> set[str]:
    """Name the queues somebody has ever declared, from kombu's bindings; never with KEYS."""
    names: set[str] = set()
    cursor = 0
    for _ in range(MOST_SCANS):
        cursor, keys = client.scan(cursor, match=f"{BINDING_PREFIX}*", count=KEYS_PER_SCAN)
        for key in map(_text, keys):
            exchange = key.removeprefix(BINDING_PREFIX)
            if not exchange.endswith(CONTROL_SUFFIX):
                names |= {queue for queue in _bound(client, key) if not queue.startswith(NOT_QUEUES)}
        if not cursor:
            break
    return names


def _bound(client: Redis, key: str) -> set[str]:
    return {_text(member).rpartition(BINDING_SEPARATOR)[2] for member in client.smembers(key)}


def _text(value: bytes | str) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _messages(number: int) -> str:
    return f"{number} message waits" if number == 1 else f"{number} messages wait"


def _listed(names: Iterable[str]) -> str:
    ordered = sorted(names)
    rest = len(ordered) - SHOWN_NAMES
    return ", ".join(ordered[:SHOWN_NAMES]) + (f" and {rest} more" if rest > 0 else "")


def _no_worker(waiting: Mapping[str, int]) -> Finding:
    told = [f"{_messages(number)} in {queue}" for queue, number in waiting.items() if number]
    seen = f"No worker answered within {REPLY_SECONDS:g} s; {', '.join(told) or 'no message waits'}."
    return finding("IBT-W01", seen, "Start one with `ibutsu-tasks worker`.")


def _starving(queue: str, number: int) -> Finding:
    return finding(
        "IBT-W02",
        f"{_messages(number)} in the queue {queue}, which no worker consumes.",
        f"Start one with `ibutsu-tasks worker --queues {queue}`.",
    )


def _unserved(queue: str) -> Finding:
    return finding(
        "IBT-W03",
        f"No worker consumes the queue {queue}; it is empty now.",
        f"Start one with `ibutsu-tasks worker --queues {queue}`.",
    )


def _all_well(fleet: Fleet, served: Iterable[str]) -> Finding:
    number = len(fleet.consumed)
    queues = _listed(f"{queue} ({fleet.waiting.get(queue, 0)} waiting)" for queue in served)
    workers = "1 worker answers" if number == 1 else f"{number} workers answer"
    return finding("IBT-W00", f"{workers}: {_listed(fleet.consumed)}; consumed: {queues}.")
