"""How Celery lies in Redis: lists per priority, bindings, held messages, and the keys that beat adds."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ibutsu_tasks.broker.connection import address_of, celery_url

if TYPE_CHECKING:
    from collections.abc import Callable

    import redis

PRIORITY_STEPS = (0, 3, 6, 9)
"""Kombu's default steps on Redis; 0 is the highest and keeps the queue's bare name."""

SEPARATOR = "\x06\x16"
"""Kombu's, between a queue's name and its priority step, and in a binding: routing key, pattern, queue."""

UNACKED = "unacked"
"""Kombu's hash of the messages consumers hold: delivery tag → JSON `[message, exchange, routing key]`."""

UNACKED_INDEX = "unacked_index"
"""Kombu's sorted set beside it: delivery tag → seconds since 1970 from which the visibility time-out counts.
Ours lie ahead, at the end of their holder's lease."""

HOLDERS = "ibutsu-tasks:holders"
"""Sorted set: holder → seconds since 1970, by Redis' clock, until which its lease lasts. A holder is one
connection of a worker that takes messages: `<node name>:<random>`. Stock workers have none."""

HELD_PREFIX = "ibutsu-tasks:held:"
"""Before a holder: the key of the hash of what it holds, delivery tag → `<since> <list>`: when it was taken
(seconds since 1970) and from which list."""

SLOTS_PREFIX = "ibutsu-tasks:slots:"
"""Before a holder: the key of a string, how many tasks it runs at a time, which lasts for a day at most after
it was renewed."""

TAKEN_OVER_PREFIX = "ibutsu-tasks:taken-over:"
"""Before a holder: the key that says, for a day, that others were given what it held."""

GONE_HOLDER_SECONDS = 86_400
"""How long keys about a holder last that nobody may be left to remove."""

WORKER_PREFIX = "ibutsu-tasks:worker:"
"""Before a holder: the key of a string that ends with its lease, JSON of what the worker reports of itself:
`slots`, `busy` and `queues`."""

TOTALS = "ibutsu-tasks:totals"
"""Hash of what all workers counted of their tasks: a JSON list of a metric and its labels → a number."""

RESULT_PREFIX = "celery-task-meta-"
"""Celery's, before the id of a task: the key of its state."""

BINDING_PREFIX = "_kombu.binding."
"""Before the name of an exchange: the key of the set of its bindings."""

CONTROL_NAMESPACE = "celery"
"""Celery's default for `control_exchange`: workers listen on the fanout exchange `celery.pidbox`."""

CONTROL_SUFFIX = ".pidbox"
CONTROL_BINDINGS = f"{BINDING_PREFIX}{CONTROL_NAMESPACE}{CONTROL_SUFFIX}"
"""Key of the set of everybody who listens to broadcasts."""

BEAT_NODE_PREFIX = "celerybeat@"
EVENT_QUEUE_PREFIX = "celeryev."

MOST_SCANS = 50
KEYS_PER_SCAN = 1000
"""A broker with a million results is looked through in part: a look must not become a load."""

REQUEUE_LOCK = "ibutsu-tasks:{}:requeue-lock"
"""Lock, a string that expires: one process at a time decides on lost work, such as `imports`."""

LAST_RECONCILIATION = "ibutsu-tasks:{}:last-reconciliation"
"""ISO time in UTC, a string, when lost work was last looked for."""

BEAT_LEADER_KEY = "ibutsu-tasks:beat:leader"
"""String, the lease of the beat that leads: JSON with its host, pid and fence, with since when (Redis' clock,
seconds) and by its own clock then (time). Whoever reads it back as it was written leads; it expires."""

BEAT_FENCE_KEY = "ibutsu-tasks:beat:fence"
"""String, a number that rises with each new leader."""

BEAT_STANDBYS_KEY = "ibutsu-tasks:beat:standbys"
"""Sorted set of the beats that stand by, JSON with host and pid, by when (Redis' clock, seconds) they count
as gone unless they are seen again."""

BEAT_LAST_RUNS_KEY = "ibutsu-tasks:beat:last-runs"
"""Hash of schedule entry to the ISO time it was last sent."""

BEAT_KNOWN_SINCE_KEY = "ibutsu-tasks:beat:known-since"
"""Hash of schedule entry to the ISO time since which it is waited for, while it was never sent."""

PRUNE_ORDER_KEY = "ibutsu-tasks:prune-history"
"""List of the ids of the last prunes, newest first."""

PRUNE_RECORDS_KEY = "ibutsu-tasks:prune-records"
"""Hash of the id of a prune to its record, JSON."""

PRUNE_SUCCESSES_KEY = "ibutsu-tasks:prune-successes"
"""Hash of a rule to the record of its last prune that ended well, JSON."""

QUARANTINE = "ibutsu-tasks:quarantine"
"""Hash of the messages that no worker can carry out: an id of each → a JSON object with `at`, `queue`,
`reason` and the message as it came, as text (`message`) or, where it is none, in base64 (`message_base64`).
Of one that lost its processes also `deliveries`, `first_at`, `last_at`, `ended_by`, `memory_at_most_bytes`.
"""

LOSSES_PREFIX = "ibutsu-tasks:losses:"
"""Before a task and the id of what it is about: a hash with the number of processes that were lost over it in
a row (`losses`), and the times of the first and the last; expires a week after that."""

ONCE_PREFIX = "ibutsu-tasks:once:"
"""Before a task and the key of a piece of work: a string, JSON with the `task_id` of the message that has it,
and its `result` once it succeeded; expires."""

REVOKED = "ibutsu-tasks:revoked"
"""Sorted set of the ids of tasks that were cancelled, by when that was (seconds since 1970, Redis' clock)."""

GAVE_UP = "ibutsu-tasks:gave-up"
"""Hash of the id of a task that will not be carried out to a JSON object with its `task`, `args`, `kwargs`
and the `reason`, until the task has been told."""

GAVE_UP_LOCK = "ibutsu-tasks:gave-up:lock"
"""Lock, a string that expires: one worker at a time tells tasks of them."""

UNWRITTEN = "ibutsu-tasks:unwritten"
"""Hash of import id to the sentence of its failure, which the database, being away, did not take."""


def redis_lists(queue: str) -> tuple[str, ...]:
    """Name the Redis lists that together are one queue, highest priority first."""
    return (queue, *(f"{queue}{SEPARATOR}{step}" for step in PRIORITY_STEPS if step))


def redis_list(queue: str, priority: object) -> str:
    """Name the Redis list of a queue that takes messages of a priority; what is none counts as 0."""
    number = priority if isinstance(priority, int) else 0
    step = max((one for one in PRIORITY_STEPS if one <= number), default=0)
    return f"{queue}{SEPARATOR}{step}" if step else queue


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
        cursor, keys = client.scan(cursor, match=f"{BINDING_PREFIX}*", count=KEYS_PER_SCAN, _type="SET")
        for exchange in (_text(key).removeprefix(BINDING_PREFIX) for key in keys):
            if not exchange.endswith(CONTROL_SUFFIX):
                names |= {queue for _, queue in _bindings(client, f"{BINDING_PREFIX}{exchange}")}
        if not cursor:
            break
    return {name for name in names if not name.startswith(EVENT_QUEUE_PREFIX)}


def count_listening_workers(client: redis.Redis) -> int:
    """Count the workers that listen to broadcasts; killed ones count for a while."""
    return sum(not node.startswith(BEAT_NODE_PREFIX) for node in listening_nodes(client))


def listening_nodes(client: redis.Redis) -> set[str]:
    """Name the nodes that listen to broadcasts; killed ones are among them for a while."""
    suffix = f".{CONTROL_NAMESPACE}{CONTROL_SUFFIX}"
    return {queue.removesuffix(suffix) for _, queue in _bindings(client, CONTROL_BINDINGS)}


def restore_unacked(client: redis.Redis, broker_url: str, set_aside: Callable[[bytes], None]) -> int:
    """Put every message that was held and not acknowledged back at the head of its queue; give their number.

    What is no such message goes to `set_aside`: kombu would throw it away, or end us.
    Only for a broker without a living consumer: a living one would see its messages delivered twice.
    """
    held: dict[bytes, bytes] = client.hgetall(UNACKED)  # type: ignore[assignment]
    tags = [tag for tag, value in held.items() if _is_held_message(value)]
    for tag in held.keys() - set(tags):
        set_aside(held[tag])
        client.hdel(UNACKED, tag)
        client.zrem(UNACKED_INDEX, tag)
    if tags:
        from kombu import Connection  # noqa: PLC0415 - seldom needed, and takes long

        with Connection(celery_url(broker_url), ssl=address_of(broker_url).tls or False) as connection:
            channel: Any = connection.channel()
            for tag in tags:
                channel.qos.restore_by_tag(tag, client)
    forget_holders(client)
    return len(tags)


def _is_held_message(value: bytes) -> bool:
    """Say whether a value is what kombu keeps of a message: itself, its exchange and its routing key."""
    try:
        message, *place = json.loads(value)
        properties = message.get("properties", {})
        parts = (message.get("headers", {}), properties, properties.get("delivery_info", {}))
    except (ValueError, TypeError, AttributeError, RecursionError):
        return False
    names = len(place) == 2 and all(isinstance(name, str) for name in place)  # noqa: PLR2004 - see above
    return names and all(isinstance(part, dict) for part in parts)


def holder_names(client: redis.Redis) -> list[str]:
    """Name all holders, those whose lease ended first before others."""
    answer: Any = client.zrange(HOLDERS, 0, -1)
    return [_text(holder) for holder in answer]


def forget_holders(client: redis.Redis) -> None:
    """Remove what says who holds which message, when nobody holds any."""
    holders = holder_names(client)
    kinds = (HELD_PREFIX, SLOTS_PREFIX)
    client.delete(HOLDERS, *(kind + holder for holder in holders for kind in kinds))


def _bindings(client: redis.Redis, key: str) -> list[tuple[str, str]]:
    """Give routing key and queue of each binding of an exchange, which are in the set `key`."""
    members = [_text(member).split(SEPARATOR) for member in client.smembers(key)]
    return [(parts[0], parts[-1]) for parts in members]


def _text(value: bytes | str) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
