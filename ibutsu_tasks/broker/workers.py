"""Asking all workers at once, by Celery's control, and knowing whether everyone who heard it answered.

Redis tells how many subscribers a broadcast reached. The bindings do not: those of killed workers stay.
Read from kombu 5.7: `Channel._put_fanout` and `_get_publish_topics`, `Mailbox._publish` and `_collect`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from kombu import Connection
from kombu.pidbox import Mailbox
from kombu.transport import redis
from kombu.utils.json import dumps

from ibutsu_tasks.broker.connection import TIMEOUT_SECONDS, address_of, celery_options, celery_url
from ibutsu_tasks.broker.layout import CONTROL_NAMESPACE

if TYPE_CHECKING:
    from collections.abc import Sequence

REPLY_SECONDS = 2.0
"""What workers are given to answer; a working one takes milliseconds."""


@dataclass(frozen=True, slots=True)
class Answers:
    """What came back: one object per node and question, the node's name → its answer."""

    replies: tuple[Any, ...]
    silent: int
    """How many heard a question and did not answer it."""


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


def ask_workers(broker_url: str, questions: Sequence[str], reply_seconds: float = REPLY_SECONDS) -> Answers:
    """Ask every worker that listens these commands of Celery's control, until one leaves some silent.

    Raises what kombu and the Redis client raise.
    """
    options = celery_options(broker_url, TIMEOUT_SECONDS, at_most=True) | {"max_retries": 0}
    tls = address_of(broker_url).tls or False
    replies: list[Any] = []
    silent = 0
    connection: Any = Connection(celery_url(broker_url), ssl=tls, transport_options=options)
    # Afterwards: the scheme of a URL may win over a transport that is given along with it.
    connection.transport_cls = _Transport
    with connection:
        mailbox = Mailbox(CONTROL_NAMESPACE, type="fanout", connection=connection)
        channel = connection.channel()
        for question in questions:
            answers = _ask(mailbox, channel, question, reply_seconds)
            replies += answers
            if (silent := max(channel.reached - len(answers), 0)) > 0:
                break
    return Answers(tuple(replies), silent)


def _ask(mailbox: Any, channel: Any, question: str, reply_seconds: float) -> list[Any]:
    ticket = str(uuid4())
    wait: dict[str, Any] = {"timeout": reply_seconds, "channel": channel}
    mailbox._publish(question, {}, reply_ticket=ticket, **wait)  # noqa: SLF001
    # Nobody heard it: a limit of 0 means none.
    return list(mailbox._collect(ticket, limit=channel.reached, **wait)) if channel.reached else []  # noqa: SLF001
