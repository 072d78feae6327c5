"""The fleet as it answers by Celery's control: who listens, and what each worker tells of itself."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from ibutsu_tasks.beat.state import read_state
from ibutsu_tasks.broker.layout import holder_names, listening_nodes, queue_names
from ibutsu_tasks.deployment.beat import unknown_entries
from ibutsu_tasks.wire_names import PROBES_QUESTION

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from redis import Redis

    from ibutsu_tasks.beat.state import BeatState
    from ibutsu_tasks.broker.workers import Call, Listeners

PAUSE_SECONDS = 0.5

SURVEY_SECONDS = 6.0
"""All questions together; an answer takes milliseconds."""

SHOWN_NAMES = 5

SIGN_OF_OURS = "ibutsu_tasks_lease_seconds"
"""A key of the configuration that the workers of this package alone have."""


@dataclass(frozen=True, slots=True)
class Worker:
    """One worker, as far as it answers."""

    node: str
    queues: frozenset[str] = frozenset()
    tasks: frozenset[str] = frozenset()
    """Names of the tasks it knows."""
    configuration: Mapping[str, Any] = field(default_factory=dict)
    statistics: Mapping[str, Any] = field(default_factory=dict)
    probes: Mapping[str, Any] = field(default_factory=dict)
    """Question → whether it holds, and the sentence to it."""

    @property
    def is_ours(self) -> bool:
        """Whether it is a worker of this package."""
        return SIGN_OF_OURS in self.configuration


@dataclass(frozen=True, slots=True)
class Fleet:
    """All workers that answer, the nodes of beats, and whoever listens and does not answer."""

    workers: tuple[Worker, ...]
    online: tuple[str, ...] = ()
    """The names of those that answer, each as often as it does."""
    beats: tuple[str, ...] = ()
    silent: int = 0
    silent_names: tuple[str, ...] = ()
    """Who they are, where that is known."""

    @property
    def ours(self) -> tuple[Worker, ...]:
        """The workers of this package."""
        return tuple(worker for worker in self.workers if worker.is_ours)

    @property
    def others(self) -> tuple[str, ...]:
        """The names of all other workers."""
        return tuple(worker.node for worker in self.workers if not worker.is_ours)

    def consumers(self, queue: str) -> list[Worker]:
        """Give who consumes a queue."""
        return [worker for worker in self.workers if queue in worker.queues]


def wait_for(client: Redis, call: Call, workers: int, standbys: int, wait_seconds: float) -> BeatState:
    """Wait until so many workers answer, a beat leads and so many stand by, or the time is over."""
    deadline = time.monotonic() + wait_seconds
    while True:
        state = read_state(client)
        is_beat_there = state.leader and not unknown_entries(state) and len(state.standbys) >= standbys
        is_there = is_beat_there and len(call.who_listens().workers) >= workers
        if is_there or time.monotonic() >= deadline:
            return state
        time.sleep(PAUSE_SECONDS)


def survey(client: Redis, call: Call) -> Fleet:
    """Ask every worker that answers what is to be known of it, and only ours what only ours know."""
    listeners = call.who_listens()
    nodes, deadline = sorted(set(listeners.workers)), time.monotonic() + SURVEY_SECONDS
    ask = partial(_ask, call, deadline)
    queues, tasks = ask("active_queues", nodes), ask("registered", nodes)
    configurations, statistics = ask("conf", nodes), ask("stats", nodes)
    ours = [node for node in nodes if SIGN_OF_OURS in _object(configurations.get(node))]
    probes = ask(PROBES_QUESTION, ours)
    workers = (
        Worker(
            node,
            queue_names(queues.get(node)),
            frozenset(_task_names(tasks.get(node))),
            _object(configurations.get(node)),
            _object(statistics.get(node)),
            _object(probes.get(node)),
        )
        for node in nodes
    )
    names = _silent_names(client, listeners) if listeners.silent > 0 else ()
    return Fleet(tuple(workers), listeners.workers, listeners.beats, max(listeners.silent, 0), names)


def named(names: Iterable[str]) -> str:
    """Give names for a sentence, not too many."""
    ordered = sorted(names)
    rest = len(ordered) - SHOWN_NAMES
    return ", ".join(ordered[:SHOWN_NAMES]) + (f" and {rest} more" if rest > 0 else "")


def _ask(call: Call, deadline: float, question: str, nodes: Sequence[str]) -> dict[str, Any]:
    """Ask, and while there is time ask those again that did not answer: a busy one may be late."""
    answers: dict[str, Any] = {}
    while (missing := [node for node in nodes if node not in answers]) and time.monotonic() < deadline:
        for reply in call.some(question, missing):
            answers |= reply if isinstance(reply, dict) else {}
    return answers


def _object(answer: Any) -> dict[str, Any]:
    return answer if isinstance(answer, dict) and "error" not in answer else {}


def _task_names(answer: Any) -> Iterator[str]:
    # Celery adds what limits a task: `name [rate_limit=5/s]`.
    yield from (str(name).partition(" ")[0] for name in (answer if isinstance(answer, list) else ()))


def _silent_names(client: Redis, listeners: Listeners) -> tuple[str, ...]:
    """Name who is silent. The bindings also have killed workers; those that took messages have a lease."""
    unheard = listening_nodes(client) - {*listeners.workers, *listeners.beats}
    leased = unheard & {holder.rpartition(":")[0] for holder in holder_names(client)}
    matching = (names for names in (leased, unheard) if len(names) == listeners.silent)
    return tuple(sorted(next(matching, ())))
