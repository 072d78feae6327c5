"""The Redis client, and the one description of how Celery lies in Redis."""

from __future__ import annotations

from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from ibutsu_tasks.errors import BrokerUnreachableError
from ibutsu_tasks.settings.masking import Masker
from ibutsu_tasks.settings.redis_url import RedisAddress, read_addresses

TIMEOUT_SECONDS = 5.0
HEALTH_CHECK_SECONDS = 25

_TIMEOUTS = {"socket_timeout", "socket_connect_timeout"}

PRIORITY_STEPS = (0, 3, 6, 9)
"""Kombu's default steps on Redis; 0 is the highest and keeps the queue's bare name."""

SEPARATOR = "\x06\x16"
"""Kombu's, between a queue's name and its priority step, and in a binding: routing key, pattern, queue."""

UNACKED = "unacked"
"""Kombu's hash of the messages that consumers hold."""

BINDING_PREFIX = "_kombu.binding."
"""Before the name of an exchange: the key of the set of its bindings."""

CONTROL_NAMESPACE = "celery"
"""Celery's default for `control_exchange`: workers listen on the fanout exchange `celery.pidbox`."""

CONTROL_SUFFIX = ".pidbox"
BEAT_NODE_PREFIX = "celerybeat@"
EVENT_QUEUE_PREFIX = "celeryev."

MOST_SCANS = 50
KEYS_PER_SCAN = 1000
"""A broker with a million results is looked through in part: a look must not become a load."""

BEAT_LEADER_KEY = "ibutsu-tasks:beat:leader"
"""JSON with host, pid and time of the beat that leads; expires soon after it stops renewing it."""

BEAT_LAST_RUNS_KEY = "ibutsu-tasks:beat:last-runs"
"""Hash of schedule entry to the ISO time it was last sent."""


def address_of(url: str) -> RedisAddress:
    """Take the URL of a setting apart; of several separated by `;` (fail-over), the first is meant."""
    return read_addresses(url)[0]


def celery_url(url: str) -> str:
    """Give a URL, or several, without options: kombu and Celery misread them and are given them apart."""
    return ";".join(address.bare_url for address in read_addresses(url))


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


def unreachable(error: BaseException, broker_url: str) -> BrokerUnreachableError:
    """Turn a client's error into a sentence that names the place and why, without the password."""
    reason = " ".join(str(error).split()) or type(error).__name__
    safe_reason = Masker([broker_url]).mask(reason)
    return BrokerUnreachableError(f"Redis at {describe(broker_url)} did not work: {safe_reason}")


def redis_lists(queue: str) -> tuple[str, ...]:
    """Name the Redis lists that together are one queue, highest priority first."""
    return (queue, *(f"{queue}{SEPARATOR}{step}" for step in PRIORITY_STEPS if step))


def queue_names(answer: object) -> frozenset[str]:
    """Name the queues in a worker's answer; none in any other's, such as that of beat, which is an error."""
    queues = answer if isinstance(answer, list) else []
    return frozenset(str(queue["name"]) for queue in queues if isinstance(queue, dict) and "name" in queue)


def queue_depth(client: redis.Redis, queue: str) -> int:
    """Count the messages waiting in a queue, over all its priorities."""
    pipeline = client.pipeline(transaction=False)
    for name in redis_lists(queue):
        pipeline.llen(name)
    return sum(pipeline.execute())


def declared_queues(client: redis.Redis) -> set[str]:
    """Name the queues that were ever declared, from the bindings; those of events and control left out."""
    names: set[str] = set()
    cursor = 0
    # Never KEYS: it stops the server for as long as it looks.
    for _ in range(MOST_SCANS):
        cursor, keys = client.scan(cursor, match=f"{BINDING_PREFIX}*", count=KEYS_PER_SCAN)
        for exchange in (_text(key).removeprefix(BINDING_PREFIX) for key in keys):
            if not exchange.endswith(CONTROL_SUFFIX):
                names |= {queue for _, queue in _bindings(client, exchange)}
        if not cursor:
            break
    return {name for name in names if not name.startswith(EVENT_QUEUE_PREFIX)}


def count_listening_workers(client: redis.Redis) -> int:
    """Count the workers that listen to broadcasts; killed ones count for a while."""
    nodes = {queue for _, queue in _bindings(client, f"{CONTROL_NAMESPACE}{CONTROL_SUFFIX}")}
    return sum(not node.startswith(BEAT_NODE_PREFIX) for node in nodes)


def restore_unacked(client: redis.Redis, broker_url: str) -> int:
    """Put every message that was held and not acknowledged back at the head of its queue; give their number.

    Only for a broker without a living consumer: a living one would see its messages delivered twice.
    """
    tags = client.hkeys(UNACKED)
    if tags:
        from kombu import Connection  # noqa: PLC0415 - seldom needed, and takes long

        with Connection(celery_url(broker_url), ssl=address_of(broker_url).tls or False) as connection:
            channel: Any = connection.channel()
            for tag in tags:
                channel.qos.restore_by_tag(tag, client)
    return len(tags)


def _bindings(client: redis.Redis, exchange: str) -> list[tuple[str, str]]:
    """Give routing key and queue of each binding of an exchange."""
    members = [_text(member).split(SEPARATOR) for member in client.smembers(f"{BINDING_PREFIX}{exchange}")]
    return [(parts[0], parts[-1]) for parts in members]


def _text(value: bytes | str) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
