"""The check of the workers: who answers, and that somebody consumes every queue with messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kombu import Connection
from kombu.exceptions import KombuError
from kombu.pidbox import Mailbox
from redis.exceptions import RedisError

from ibutsu_tasks.broker.connection import address_of, build_client, celery_options, celery_url
from ibutsu_tasks.broker.layout import (
    CONTROL_NAMESPACE,
    count_listening_workers,
    declared_queues,
    queue_depth,
    queue_names,
)
from ibutsu_tasks.doctor.report import Finding, finding, reason_of
from ibutsu_tasks.doctor.running import CALL_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from redis import Redis

    from ibutsu_tasks.settings import Settings

REPLY_SECONDS = 1.5
"""What workers are given to answer; a working one takes milliseconds."""

SHOWN_NAMES = 5


def check_workers(settings: Settings) -> list[Finding]:
    """Ask all workers at once which queues they consume, and compare with what waits."""
    try:
        with build_client(settings.require_broker(), CALL_SECONDS) as client:
            consumed, waiting = _ask_workers(settings, client), _waiting(client, settings.consumed_queues)
    except (RedisError, KombuError, OSError) as error:
        seen = f"The broker failed while workers were asked: {reason_of(error, settings)}"
        return [finding("IBT-W19", seen, "Run `ibutsu-tasks doctor --only broker`.")]
    return judge(consumed, waiting, settings.consumed_queues)


def judge(
    consumed: Mapping[str, frozenset[str]], waiting: Mapping[str, int], wanted_queues: Iterable[str]
) -> list[Finding]:
    """Give the findings about the queues each worker consumes, by node name, and messages waiting, by queue.

    `wanted_queues` ought to be consumed.
    """
    if not consumed:
        depths = [f"{_messages(number)} in {queue}" for queue, number in waiting.items() if number]
        seen = f"No worker answered within {REPLY_SECONDS:g} s; {', '.join(depths) or 'no message waits'}."
        return [finding("IBT-W01", seen, "Start one with `ibutsu-tasks worker`.")]
    served = frozenset().union(*consumed.values())
    wanted = set(wanted_queues)
    starving, idle = [], []
    for queue in sorted((wanted | waiting.keys()) - served):
        start = f"Start one with `ibutsu-tasks worker --queues {queue}`."
        if number := waiting.get(queue):
            seen = f"{_messages(number)} in the queue {queue}, which no worker consumes."
            starving.append(finding("IBT-W02", seen, start))
        elif queue in wanted:
            idle.append(finding("IBT-W03", f"No worker consumes the queue {queue}; it is empty now.", start))
    if starving or idle:
        return starving + idle
    queues = _listed(f"{queue} ({waiting.get(queue, 0)} waiting)" for queue in served)
    workers = "1 worker answers" if len(consumed) == 1 else f"{len(consumed)} workers answer"
    return [finding("IBT-W00", f"{workers}: {_listed(consumed)}; consumed: {queues}.")]


def _ask_workers(settings: Settings, client: Redis) -> dict[str, frozenset[str]]:
    url = settings.require_broker()
    options = celery_options(url, CALL_SECONDS, at_most=True) | {"max_retries": 0}
    tls = address_of(url).tls or False
    with Connection(celery_url(url), ssl=tls, transport_options=options) as connection:
        mailbox = Mailbox(CONTROL_NAMESPACE, type="fanout", connection=connection)
        # All that are known having answered ends the wait early.
        most = count_listening_workers(client) or None
        replies = mailbox.multi_call("active_queues", timeout=REPLY_SECONDS, limit=most)
    answers = [reply for reply in replies or () if isinstance(reply, dict)]
    return {str(node): queue_names(queues) for reply in answers for node, queues in reply.items()}


def _waiting(client: Redis, wanted_queues: Iterable[str]) -> dict[str, int]:
    names = {*wanted_queues, *declared_queues(client)}
    return {name: queue_depth(client, name) for name in sorted(names)}


def _messages(number: int) -> str:
    return f"{number} message waits" if number == 1 else f"{number} messages wait"


def _listed(names: Iterable[str]) -> str:
    ordered = sorted(names)
    rest = len(ordered) - SHOWN_NAMES
    return ", ".join(ordered[:SHOWN_NAMES]) + (f" and {rest} more" if rest > 0 else "")
