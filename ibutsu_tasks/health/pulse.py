"""The signs of life of this process: its loop tells that it turns, and they are written down and served.

What the loop cannot know while it waits is found by a thread: whether the broker answers, and that a task
keeps a loop busy that runs tasks itself.
"""

from __future__ import annotations

import atexit
import logging
import os
import time
from contextlib import suppress
from datetime import UTC, datetime
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from redis.exceptions import RedisError

from ibutsu_tasks.broker.connection import build_client
from ibutsu_tasks.health import heartbeat
from ibutsu_tasks.health.heartbeat import Heartbeat
from ibutsu_tasks.health.questions import READY, answer

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis import Redis

    from ibutsu_tasks.settings import Settings

logger = logging.getLogger(__name__)

TICK_SECONDS = 1.0
WRITE_SECONDS = 5.0
LOOK_SECONDS = 5.0
ANSWER_SECONDS = 1.0
SILENCE_SECONDS = 20.0
"""After so long without an answer of the broker a process is not ready."""


class Signs(NamedTuple):
    """What a role tells of itself; the fields are those of its heartbeat."""

    hindrance: str = ""
    busy: str = ""
    is_connected: bool | None = None
    queues: tuple[str, ...] = ()
    running: int = 0
    held: int = 0


def starting() -> Signs:
    """Give the signs of a process whose loop has not begun."""
    return Signs("it is starting")


def ping(client: Redis) -> None:
    """Ask the broker for an answer and nothing else."""
    client.ping()


class Pulse:
    """The pulse of this process; `of_process` gives the one there is.

    `signs` tells how the role fares, `look` asks the broker from the thread.
    """

    own: ClassVar[Pulse | None] = None

    def __init__(self, role: str, settings: Settings) -> None:
        self.role, self.node = role, f"{role}@{heartbeat.host_name()}"
        self.signs: Callable[[], Signs] = starting
        self.look: Callable[[Redis], None] = ping
        self._directory = heartbeat.private_directory(settings.scratch_dir)
        self._client = None if role == "flower" else build_client(settings.require_broker(), ANSWER_SECONDS)
        self._started_at = _now()
        self._ticked = self._answered = time.monotonic()
        self._next_write = 0.0
        self._was_ready, self._hindrance = False, ""
        self._failure = self._said = ""
        self._lock, self._ended = Lock(), Event()
        if settings.health_port is not None:
            from ibutsu_tasks.health.pages import pages_of  # noqa: PLC0415 - with prometheus-client
            from ibutsu_tasks.health.server import HealthServer  # noqa: PLC0415

            HealthServer(settings.health_address, settings.health_port, pages_of(self.heartbeat)).start()

    @classmethod
    def of_process(cls, role: str, settings: Settings) -> Pulse:
        """Give the pulse of this process, which begins with the first call.

        Raises SettingsError when the health port cannot be opened.
        """
        if cls.own is None:
            cls.own = cls(role, settings)
            cls.own.begin()
        return cls.own

    def begin(self) -> None:
        """Write the first heartbeat, and begin to look at the broker."""
        heartbeat.remove_left(self.role, self._directory)
        self.write()
        Thread(target=self._look_on, name="pulse", daemon=True).start()
        atexit.register(self._end, os.getpid())

    def tick(self) -> None:
        """Tell that the loop turns; writes it down every few seconds, and at once what changes the answer."""
        self._ticked = time.monotonic()
        if self._ticked >= self._next_write or self._current_hindrance() != self._hindrance:
            self.write()
        if self._failure != self._said:
            # Not where it happens: at the start nothing is set up to log it.
            self._said = self._failure
            logger.warning("%s", self._failure)

    def heartbeat(self) -> Heartbeat:
        """Give the heartbeat of now."""
        signs, now = self.signs(), time.monotonic()
        beat = Heartbeat(
            role=self.role,
            node=self.node,
            host=heartbeat.host_name(),
            pid=os.getpid(),
            started_at=self._started_at,
            written_at=_now(),
            written=now,
            ticked=self._ticked,
            busy=signs.busy,
            hindrance=self._hindrance_in(signs),
            is_connected=self._is_answered() if signs.is_connected is None else signs.is_connected,
            queues=signs.queues,
            running=signs.running,
            held=signs.held,
        )
        self._was_ready = self._was_ready or answer(READY, beat, now).holds
        return beat._replace(was_ready=self._was_ready)

    def write(self) -> None:
        """Write the heartbeat down; where that fails, probes will say so, and work goes on."""
        with self._lock:
            if self._ended.is_set():
                return
            beat = self.heartbeat()
            self._hindrance, self._next_write = beat.hindrance, time.monotonic() + WRITE_SECONDS
            try:
                heartbeat.write(beat, self._directory)
            except OSError as error:
                reason = f"{error.filename or self._directory}: {error.strerror}"
                self._failure = f"the heartbeat cannot be written, so probes will fail: {reason}"
            else:
                self._failure = self._said = ""

    def _current_hindrance(self) -> str:
        return self._hindrance_in(self.signs())

    def _hindrance_in(self, signs: Signs) -> str:
        return signs.hindrance or ("the broker does not answer" if self._is_answered() is False else "")

    def _is_answered(self) -> bool | None:
        """Tell whether the broker answers; None where nobody asks it."""
        return time.monotonic() - self._answered <= SILENCE_SECONDS if self._client else None

    def _look_on(self) -> None:
        while True:
            try:
                self._look_once()
            except Exception:
                logger.exception("a look at this process failed; the next is in %s s", LOOK_SECONDS)
            if self._ended.wait(LOOK_SECONDS):
                return

    def _look_once(self) -> None:
        with suppress(RedisError, OSError):
            if self._client:
                self.look(self._client)
                self._answered = time.monotonic()
        if self.signs().busy:
            self.write()

    def _end(self, pid: int) -> None:
        # A process of the pool may run what its parent has registered.
        if os.getpid() == pid:
            self._ended.set()
            with self._lock, suppress(OSError):
                os.unlink(heartbeat.path_of(self._directory, self.role, heartbeat.host_name(), pid))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
