"""The Redis client, and the one description of how Celery lies in Redis."""

from __future__ import annotations

import json
from bisect import bisect
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from ibutsu_tasks.errors import BrokerUnreachableError
from ibutsu_tasks.queues import PRIORITY_SEPARATOR, PRIORITY_STEPS, redis_lists
from ibutsu_tasks.settings.values import mask_passwords

TIMEOUT_SECONDS = 5.0

UNACKED = "unacked"
UNACKED_INDEX = "unacked_index"
BINDING_SEPARATOR = PRIORITY_SEPARATOR
"""Kombu separates routing key, pattern and queue of a binding like queue and priority."""

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
    return BrokerUnreachableError(f"Redis at {describe(broker_url)} did not work: {mask_passwords(reason)}")


def queue_depth(client: redis.Redis, queue: str) -> int:
    """Count the messages waiting in a queue, over all its priorities."""
    pipeline = client.pipeline(transaction=False)
    for name in redis_lists(queue):
        pipeline.llen(name)
    return sum(pipeline.execute())


def restore_unacked(client: redis.Redis) -> int:
    """Put every message that was held and not acknowledged back at the head of its queue; give their number.

    Only for a broker without a living consumer: a living one would see its messages delivered twice.
    Kombu keeps held messages in the hash `unacked` (delivery tag → message, exchange, routing key) and
    their times in the sorted set `unacked_index`; this is what its `QoS.restore_by_tag` does.
    """
    tags = client.hkeys(UNACKED)
    for tag in tags:
        _restore(client, tag)
    return len(tags)


def _restore(client: redis.Redis, tag: bytes | str) -> None:
    def put_back(pipeline: redis.client.Pipeline) -> None:
        held = pipeline.hget(UNACKED, tag)
        pipeline.multi()
        pipeline.zrem(UNACKED_INDEX, tag)
        pipeline.hdel(UNACKED, tag)
        if held is not None:
            message, exchange, routing_key = json.loads(held)
            message["headers"]["redelivered"] = True
            message["properties"]["delivery_info"]["redelivered"] = True
            priority = message["properties"].get("priority") or 0
            for queue in _bound_queues(client, exchange, routing_key):
                pipeline.rpush(_priority_list(queue, priority), json.dumps(message))

    client.transaction(put_back, UNACKED)


def _bound_queues(client: redis.Redis, exchange: str, routing_key: str) -> list[str]:
    """Name the queues a direct exchange delivers to; without an exchange the routing key is the queue."""
    members = client.smembers(f"_kombu.binding.{exchange}") if exchange else set()
    texts = [member.decode() if isinstance(member, bytes) else member for member in members]
    bindings = [text.split(BINDING_SEPARATOR) for text in texts]
    return [queue for key, _, queue in bindings if key == routing_key] or [routing_key]


def _priority_list(queue: str, priority: int) -> str:
    return redis_lists(queue)[bisect(PRIORITY_STEPS, max(priority, 0)) - 1]
