"""Where the messages about some rows are: in a queue, held by a consumer, at work, or nowhere.

Stock workers acknowledge a message when they begin with it. So no message says that they are at it; they are
asked, and one that does not answer may be at any.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ibutsu_tasks.broker.layout import UNACKED, declared_queues, queue_depth
from ibutsu_tasks.broker.messages import held_ids, ids_in, waiting_ids
from ibutsu_tasks.broker.workers import REPLY_SECONDS, ask_workers

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from uuid import UUID

    from redis import Redis

QUESTIONS = ("scheduled", "reserved", "active")
"""Celery's commands that list what a worker has, in the order in which a task passes through them."""

PAUSE_SECONDS = 2.0
"""Between two looks: a message on its way from a queue to a worker is in none of the places for a moment."""

WAITING, HELD, AT_WORK = "it waits in a queue", "a worker holds its message", "a worker is at it"


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """What was found of the rows asked for."""

    found: dict[UUID, str] = field(default_factory=dict)
    """Where each of those is that are somewhere, as a clause of a sentence."""
    lost: frozenset[UUID] = frozenset()
    """Those that are nowhere, when all workers answered, else those that may be with a silent one."""
    silent_workers: int = 0


@dataclass(frozen=True, slots=True)
class Broker:
    """The broker as it is looked through: its Redis, its URL, and queues that may be used."""

    client: Redis
    url: str
    queues: tuple[str, ...] = ()
    reply_seconds: float = REPLY_SECONDS
    asking_node: str | None = None
    """The node name of the worker that asks, which cannot answer itself when it has no pool."""
    asking_has: frozenset[UUID] = frozenset()
    """Ids in the tasks that such a worker has fetched."""

    def count_messages(self) -> int:
        """Count what a look has to read."""
        depths = (queue_depth(self.client, queue) for queue in self._all_queues())
        return sum(depths) + int(self.client.hlen(UNACKED))

    def look(self, row_ids: Collection[UUID]) -> Whereabouts:
        """Look once. Raises what kombu and the Redis client raise."""
        # A message moves from a queue to a holder and from there to work: looked at in this order, it is met.
        waiting = waiting_ids(self.client, self._all_queues())
        held = held_ids(self.client)
        answers = ask_workers(self.url, QUESTIONS, self.reply_seconds, self.asking_node)
        at_work = ids_in(json.dumps(answers.replies, default=str)) | self.asking_has
        found = _where(row_ids, ((WAITING, waiting), (HELD, held), (AT_WORK, at_work)))
        return Whereabouts(found, frozenset(row_ids) - found.keys(), answers.silent)

    def find(self, row_ids: Collection[UUID]) -> Whereabouts:
        """Look twice before anything is called lost. Raises what kombu and the Redis client raise."""
        first = self.look(row_ids) if row_ids else Whereabouts()
        if not first.lost or first.silent_workers:
            return first
        time.sleep(PAUSE_SECONDS)
        second = self.look(first.lost)
        return Whereabouts(first.found | second.found, second.lost, second.silent_workers)

    def _all_queues(self) -> list[str]:
        return sorted({*self.queues, *declared_queues(self.client)})


def _where(row_ids: Iterable[UUID], places: Iterable[tuple[str, Collection[UUID]]]) -> dict[UUID, str]:
    places = tuple(places)
    found = {one: next((where for where, ids in places if one in ids), None) for one in row_ids}
    return {one: where for one, where in found.items() if where is not None}
