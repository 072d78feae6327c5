"""What `drain` does: stops what workers on this host consume, and waits until they have nothing left.

All it knows of them is in their heartbeats, so that it needs no answer from a worker with a busy loop. What
is asked is asked again: who was without a connection for a moment did not hear it.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ibutsu_tasks.celery_app import create_client_app
from ibutsu_tasks.cli.output.formats import plain
from ibutsu_tasks.cli.output.result import Result
from ibutsu_tasks.errors import RefusedError, WaitTimeoutError
from ibutsu_tasks.health.heartbeat import host_name, is_gone, private_directory, read_all
from ibutsu_tasks.health.pulse import WRITE_SECONDS
from ibutsu_tasks.health.questions import LIVE, answer
from ibutsu_tasks.sending.messages import stop_consuming
from ibutsu_tasks.text.words import counted

if TYPE_CHECKING:
    from ibutsu_tasks.cli.state import CliState
    from ibutsu_tasks.health.heartbeat import Heartbeat
    from ibutsu_tasks.settings import Settings

LOOK_SECONDS = 0.2

ASK_AGAIN_SECONDS = 2 * WRITE_SECONDS
"""By then a worker has written down that it obeyed."""


def drain(state: CliState, node: str | None, timeout_seconds: float) -> Result:
    """Drain the workers of this host, or the one of a node name.

    Raises RefusedError when there is none, WaitTimeoutError when tasks still run after that time, and
    BrokerUnreachableError.
    """
    settings = state.settings
    app = create_client_app(settings)
    workers = _workers(settings, node)
    if not workers:
        who = f"worker {node}" if node else "worker"
        raise RefusedError(
            f"No {who} runs on this host.", "`ibutsu-tasks probe live` says what is found here."
        )
    # A worker that a supervisor starts meanwhile is to work.
    pids = {one.pid for one in workers}
    deadline, ask_at = time.monotonic() + timeout_seconds, 0.0
    while busy := [one for one in _workers(settings, node) if one.pid in pids and not _is_drained(one)]:
        if time.monotonic() >= ask_at:
            ask_at = time.monotonic() + ASK_AGAIN_SECONDS
            for one in busy:
                stop_consuming(app, one.node, one.queues)
        if time.monotonic() >= deadline:
            raise _too_late(busy, timeout_seconds)
        time.sleep(LOOK_SECONDS)
    names = [one.node for one in workers]
    return Result({"drained": names}, [plain(f"Drained: {', '.join(names)}.")])


def _workers(settings: Settings, node: str | None) -> list[Heartbeat]:
    directory = private_directory(settings.scratch_dir)
    try:
        found = read_all(directory)
    except OSError as error:
        raise RefusedError(f"{directory} cannot be used: {error.strerror} ({error.filename}).") from error
    return [
        one
        for one in found
        if one.role == "worker" and one.host == host_name() and node in {None, one.node} and not is_gone(one)
    ]


def _is_drained(worker: Heartbeat) -> bool:
    # Without a connection it names no queue, and will consume again.
    return bool(worker.is_connected and not worker.queues and not worker.running + worker.held)


def _too_late(busy: list[Heartbeat], timeout_seconds: float) -> WaitTimeoutError:
    said = [
        f"{one.node} has {counted(one.running + one.held, 'task')}"
        if one.is_connected and not one.queues
        else f"{one.node} did not stop consuming"
        for one in busy
    ]
    answers = [answer(LIVE, one, time.monotonic()) for one in busy]
    hung = [one.sentence for one in answers if not one.holds]
    return WaitTimeoutError(
        f"Not drained after {timeout_seconds:g} s: {', '.join([*said, *hung]).rstrip('.')}.",
        "Kill what is not live: other workers are given what it holds."
        if hung
        else "Give --timeout more seconds; on SIGTERM what still runs has the grace period.",
    )
