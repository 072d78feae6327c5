"""The acceptance run of a live system: ten lines, each with what was seen and what mends it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from kombu.exceptions import KombuError
from redis.exceptions import RedisError

from ibutsu_tasks.broker.connection import TIMEOUT_SECONDS, build_client
from ibutsu_tasks.broker.failures import unreachable
from ibutsu_tasks.broker.workers import calling_workers
from ibutsu_tasks.deployment import beat, canary, failover, limits, probes, queues, updates, workers
from ibutsu_tasks.deployment.fleet import survey, wait_for
from ibutsu_tasks.deployment.limited import side_by_side
from ibutsu_tasks.doctor.report import Report

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from redis import Redis

    from ibutsu_tasks.broker.workers import Call
    from ibutsu_tasks.doctor.report import Finding
    from ibutsu_tasks.settings import Settings


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked of the system."""

    workers: int = 1
    standbys: int = 0
    wait_seconds: float = 10.0
    """What workers and beats are given to appear, canaries to return, and a replacement to start."""
    probe_urls: tuple[str, ...] = ()
    failover: bool = False


def check_deployment(settings: Settings, wanted: Wanted, tell: Callable[[str], None]) -> Report:
    """Look at everything; `tell` is given the name of each line before it is looked at.

    Raises SettingsError when no broker is named, ServiceUnreachableError when it, or the result backend,
    does not answer.
    """
    begun, url = time.monotonic(), settings.require_broker()
    try:
        with build_client(url) as client:
            _ping(client)
            with calling_workers(url) as call:
                found = list(_lines(settings, wanted, client, call, tell))
    except (RedisError, KombuError, OSError) as error:
        raise unreachable(error, url) from error
    return Report(tuple(found), time.monotonic() - begun)


def _ping(client: Redis) -> None:
    """Have one answer of the broker. Raises TimeoutError, also when it comes byte by byte."""
    if side_by_side([client.ping], TIMEOUT_SECONDS) == [None]:
        raise TimeoutError(f"it has not answered within {TIMEOUT_SECONDS:g} s")


def _lines(
    settings: Settings, wanted: Wanted, client: Redis, call: Call, tell: Callable[[str], None]
) -> Iterator[Finding]:
    wait_seconds = wanted.wait_seconds
    state = wait_for(client, call, wanted.workers, wanted.standbys, wait_seconds)
    fleet = survey(client, call)
    try_failover = partial(failover.check_failover, settings, fleet, client, call)
    lines: dict[str, Callable[[], Finding]] = {
        "online": partial(workers.check_online, fleet, wanted.workers, wait_seconds),
        "leader": partial(beat.check_leader, state, wanted.standbys, wait_seconds),
        "connected": partial(workers.check_connected, fleet),
        "scheduler": partial(beat.check_scheduler, state),
        "probes": partial(probes.check_probes, settings, fleet, wanted.probe_urls),
        "limits": partial(limits.check_limits, settings, fleet),
        "queues": partial(queues.check_queues, settings, fleet),
        "canary": partial(canary.check_canary, settings, fleet, wait_seconds),
        "failover": partial(try_failover, wait_seconds if wanted.failover else None),
        "updates": partial(updates.check_updates, settings, fleet),
    }
    for line, check in lines.items():
        tell(line)
        yield check()
