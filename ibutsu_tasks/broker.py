"""The Redis client, and the one description of how Celery lies in Redis."""

from __future__ import annotations

import ssl
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from ibutsu_tasks.errors import BrokerUnreachableError
from ibutsu_tasks.settings.masking import Masker

TIMEOUT_SECONDS = 5.0

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


def client_url(broker_url: str) -> str:
    """Translate Celery's spelling of a Redis URL to redis-py's.

    They differ in unix sockets, `redis+socket:///path?virtual_host=2` being `unix:///path?db=2`, and in
    `ssl_cert_reqs`, `CERT_REQUIRED` being `required`. Of several URLs separated by `;` (fail-over), the
    first is taken.
    """
    first = broker_url.partition(";")[0]
    parts = urlsplit(first)
    if not parts.query and parts.scheme != "redis+socket":
        return first
    query = urlencode([_client_option(key, value) for key, value in parse_qsl(parts.query)])
    scheme = "unix" if parts.scheme == "redis+socket" else parts.scheme
    # Not urlunsplit: it leaves out the empty authority, and redis-py insists on `unix://`.
    return f"{scheme}://{parts.netloc}{parts.path}" + (f"?{query}" if query else "")


def _client_option(key: str, value: str) -> tuple[str, str]:
    if key == "ssl_cert_reqs":
        return key, value.removeprefix("CERT_").lower()
    return ("db" if key == "virtual_host" else key), value


def tls_options(url: str) -> dict[str, Any] | None:
    """Give what kombu and Celery need for a `rediss://` URL that does not say how to check certificates.

    They insist on being told; these applications require a trusted certificate. None for any other URL.
    """
    address, _, query = url.partition(";")[0].partition("?")
    is_bare = address.lower().startswith("rediss://") and "ssl_cert_reqs=" not in query
    return {"ssl_cert_reqs": ssl.CERT_REQUIRED} if is_bare else None


def describe(broker_url: str) -> str:
    """Name the place a broker URL points at, without credentials: `host:port/db` or a socket path."""
    parts = urlsplit(broker_url.partition(";")[0])
    if parts.scheme == "redis+socket":
        return unquote(parts.path)
    return f"{parts.hostname or 'localhost'}:{parts.port or 6379}/{parts.path.strip('/') or '0'}"


def build_client(broker_url: str, timeout_seconds: float = TIMEOUT_SECONDS) -> redis.Redis:
    """Describe a client whose every call ends within `timeout_seconds`; nothing connects before first use."""
    return redis.Redis.from_url(
        client_url(broker_url),
        socket_connect_timeout=timeout_seconds,
        socket_timeout=timeout_seconds,
        health_check_interval=25,
        client_name="ibutsu-tasks",
        # redis-py retries three times by default, which would multiply the time limit.
        retry=Retry(NoBackoff(), 0),
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

        with Connection(broker_url) as connection:
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
