"""Asking all workers at once, by Celery's control, and knowing whether everyone who heard it answered.

Redis tells how many subscribers a broadcast reached. The bindings do not: those of killed workers stay.
Read from kombu 5.7: `Channel._put_fanout` and `_get_publish_topics`, `Mailbox._publish` and `_collect`.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from kombu import Connection
from kombu.pidbox import Mailbox
from kombu.transport import redis
from kombu.utils.json import dumps

from ibutsu_tasks.broker.connection import TIMEOUT_SECONDS, address_of, celery_options, celery_url
from ibutsu_tasks.broker.layout import BEAT_NODE_PREFIX, CONTROL_NAMESPACE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

REPLY_SECONDS = 2.0
"""What workers are given to answer; a working one takes milliseconds."""


@dataclass(frozen=True, slots=True)
class Answers:
    """What came back: one object per worker and question, its node name → its answer."""

    replies: tuple[Any, ...]
    silent: int
    """How many heard a question and did not answer it."""


@dataclass(frozen=True, slots=True)
class Listeners:
    """The nodes that answered a ping, each as often as it did, and how many heard it and did not."""

    workers: tuple[str, ...]
    beats: tuple[str, ...]
    silent: int


class _Channel(redis.Channel):
    """A channel that counts whom its last broadcast reached."""

    reached = 0
    conn_or_acquire: Any
    _get_publish_topics: Any

    def _put_fanout(self, exchange: str, message: Any, routing_key: str, **_: Any) -> None:
        text = dumps(message)
        with self.conn_or_acquire() as client:
            topics = self._get_publish_topics(exchange, routing_key)
            self.reached = sum(client.publish(topic, text) for topic in topics)


class _Transport(redis.Transport):
    Channel = _Channel


def ask_workers(
    broker_url: str,
    questions: Sequence[str],
    reply_seconds: float = REPLY_SECONDS,
    asking_node: str | None = None,
) -> Answers:
    """Ask every worker that listens these commands of Celery's control, one after the other.

    All are pinged first, for a beat listens, too, and answers nothing else; while one is silent, nobody is
    asked more. `asking_node` may be silent: without a pool, a worker that asks cannot answer.
    Raises what kombu and the Redis client raise.
    """
    with calling_workers(broker_url, reply_seconds) as call:
        found = call.who_listens()
        silent = found.silent
        if asking_node is not None and asking_node not in found.workers:
            silent -= 1
        replies: list[Any] = []
        for question in questions if silent <= 0 and found.workers else ():
            answers = call.some(question, found.workers)
            replies += answers
            silent = max(silent, len(found.workers) - len(answers))
    return Answers(tuple(replies), max(silent, 0))


@contextmanager
def calling_workers(broker_url: str, reply_seconds: float = REPLY_SECONDS) -> Iterator[Call]:
    """Open a channel for questions, each of which is given `reply_seconds`.

    Raises what kombu and the Redis client raise, and so does every question.
    """
    options = celery_options(broker_url, TIMEOUT_SECONDS, at_most=True) | {"max_retries": 0}
    tls = address_of(broker_url).tls or False
    connection: Any = Connection(celery_url(broker_url), ssl=tls, transport_options=options)
    # Afterwards: the scheme of a URL may win over a transport that is given along with it.
    connection.transport_cls = _Transport
    with connection:
        yield Call(Mailbox(CONTROL_NAMESPACE, type="fanout", connection=connection), reply_seconds)


class Call:
    """Broadcasts on one channel, and the answers to them."""

    def __init__(self, mailbox: Any, reply_seconds: float) -> None:
        self._mailbox = mailbox
        self._channel: Any = mailbox.connection.channel()
        self._seconds = reply_seconds

    def who_listens(self) -> Listeners:
        """Ping everyone, and wait for as many answers as heard it."""
        ticket = self._publish("ping")
        reached = int(self._channel.reached)
        nodes = [str(node) for reply in self._collect(ticket, reached) for node in reply]
        beats = [node for node in nodes if node.startswith(BEAT_NODE_PREFIX)]
        workers = [node for node in nodes if not node.startswith(BEAT_NODE_PREFIX)]
        return Listeners(tuple(sorted(workers)), tuple(sorted(beats)), reached - len(nodes))

    def some(
        self, question: str, nodes: Iterable[str], wanted: int | None = None, **arguments: Any
    ) -> list[Any]:
        """Ask these nodes, and wait for as many, or for `wanted` answers."""
        nodes = sorted(set(nodes))
        ticket = self._publish(question, arguments, destination=nodes)
        return self._collect(ticket, len(nodes) if wanted is None else wanted)

    def _publish(self, question: str, arguments: Mapping[str, Any] | None = None, **to: Any) -> str:
        ticket = str(uuid4())
        options = {"reply_ticket": ticket, "channel": self._channel, "timeout": self._seconds, **to}
        self._mailbox._publish(question, dict(arguments or {}), **options)  # noqa: SLF001
        return ticket

    def _collect(self, ticket: str, limit: int) -> list[Any]:
        # A limit of 0 means none.
        options = {"limit": limit, "channel": self._channel, "timeout": self._seconds}
        return list(self._mailbox._collect(ticket, **options)) if limit else []  # noqa: SLF001
