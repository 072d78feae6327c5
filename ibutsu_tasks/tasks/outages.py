"""Outages of the services a worker needs: told once, reminded of seldom, and told when they are over."""

from __future__ import annotations

import logging
import mmap
import struct
import time
from typing import TYPE_CHECKING

from celery.app import trace

from ibutsu_tasks.errors import BusyError, DatabaseUnreachableError
from ibutsu_tasks.temporary_errors import is_contention, why_temporary

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)

DATABASE, BROKER, RESULTS = SERVICES = ("database", "broker", "result backend")

REMINDER_SECONDS = 600.0
QUIET_SECONDS = 30.0
"""An outage that begins this soon after the last one was told of is told of when it lasts: a service that
comes and goes, as one does whose connections are all taken, fills no log."""

MINUTES_PER_HOUR = 60

_TIMES = struct.Struct("dd")


class Outages:
    """Since when each service is away, shared by a worker and the processes it forks.

    Nothing is locked: two that find an outage in the same microsecond both tell of it.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._memory = mmap.mmap(-1, _TIMES.size * len(SERVICES))
        self._clock = clock

    def note(self, service: str, error: BaseException) -> None:
        """Take down that a service failed in a way that passes; tell of it unless that was done."""
        now = self._clock()
        since, told = self._read(service)
        is_told = since > 0 and told >= since
        since = since or now
        if not told or now - told >= (REMINDER_SECONDS if is_told else QUIET_SECONDS):
            logger.warning("%s: %s", self._headline(service, now - since), _sentence(error))
            told = now
        self._write(service, since, told)

    def end(self, service: str) -> None:
        """Take down that a service works."""
        since, told = self._read(service)
        if since:
            self._write(service, 0.0, told)
            if told >= since:
                away = _duration(self._clock() - since)
                logger.warning("the %s is back after %s", service, away)

    def are_on(self) -> bool:
        """Say whether any service is away."""
        return any(self._read(service)[0] for service in SERVICES)

    def _headline(self, service: str, away_seconds: float) -> str:
        if away_seconds < QUIET_SECONDS:
            return f"the {service} is away, and what needs it waits"
        return f"the {service} has been away for {_duration(away_seconds)}"

    def _read(self, service: str) -> tuple[float, float]:
        since, told = _TIMES.unpack_from(self._memory, SERVICES.index(service) * _TIMES.size)
        return since, told

    def _write(self, service: str, since: float, told: float) -> None:
        _TIMES.pack_into(self._memory, SERVICES.index(service) * _TIMES.size, since, told)


outages = Outages()
"""Made before the worker forks."""


def service_of(error: BaseException) -> str | None:
    """Name the service that a temporary error says is away; None when somebody else was just faster."""
    if isinstance(error, BusyError) or is_contention(error.__cause__ or error):
        return None
    return DATABASE if isinstance(error, DatabaseUnreachableError) else BROKER


def _sentence(error: BaseException) -> str:
    text = " ".join(str(error).split())
    reason = why_temporary(error)
    return text if reason is None or reason == str(error) else f"{text} ({reason})"


def _duration(seconds: float) -> str:
    minutes, seconds_left = divmod(round(seconds), 60)
    if minutes >= MINUTES_PER_HOUR:
        return "{} h {} min".format(*divmod(minutes, MINUTES_PER_HOUR))
    return f"{minutes} min {seconds_left} s" if minutes else f"{seconds:.1f} s"


class Said:
    """What Celery's consumer says of the broker. Copied: an import would load all of a worker."""

    CANNOT_CONNECT = "consumer: Cannot connect to %s: %s.\n%s\n"
    CONNECTION_LOST = "consumer: Connection to broker lost. Trying to re-establish the connection..."
    FREQUENT_RESTARTS = "Frequent restarts detected: %r"
    CONNECTED = "Connected to %s"
    STEP_FAILED = "Error on %s %s: %r"


class _OncePerOutage(logging.Filter):
    """Leaves out what Celery says of each try while an outage lasts, and hears from it of the broker's."""

    def filter(self, record: logging.LogRecord) -> bool:
        match record.msg, record.args:
            # The last: where a connection breaks while it is made, steps close what went with the one before.
            case (trace.LOG_RETRY | Said.FREQUENT_RESTARTS, _) | (Said.STEP_FAILED, (_, _, AttributeError())):
                return not outages.are_on()
            case trace.LOG_RECEIVED, _:
                # Only what is sent again, or for later, has a time to be run at.
                return not (outages.are_on() and getattr(record, "data", {}).get("eta"))
            case Said.CANNOT_CONNECT, (_, BaseException() as error, _):
                outages.note(BROKER, error)
                return False
            case "%s (%r)", (Said.CONNECTION_LOST, BaseException() as error):
                outages.note(BROKER, error)
                return False
            case Said.CONNECTED, _:
                outages.end(BROKER)
                return logging.getLogger().isEnabledFor(record.levelno)
        return True


for _name in (
    "celery.app.trace",
    "celery.bootsteps",
    "celery.worker.strategy",
    "celery.worker.consumer.consumer",
    "celery.worker.consumer.connection",
):
    logging.getLogger(_name).addFilter(_OncePerOutage())
# Heard also where the log leaves it out.
logging.getLogger("celery.worker.consumer.connection").setLevel(logging.INFO)
