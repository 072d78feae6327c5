"""The scheduler with a leader: any number of beats may run, one sends.

The leader is whoever holds an advisory lock in PostgreSQL; it is gone the moment its session is. When
each entry last ran is kept in Redis, not in a local file, so that a beat on another host continues where
the last one stopped, and a run missed while none was up is caught up once.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

from celery.beat import ScheduleEntry, Scheduler
from redis.exceptions import RedisError
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from ibutsu_tasks.broker.layout import BEAT_LAST_RUNS_KEY, BEAT_LEADER_KEY

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from ibutsu_tasks.tasks.base import DatabaseCelery

logger = logging.getLogger(__name__)

LEADER_LOCK = int.from_bytes(b"ibutsu", "big")
"""The advisory lock all beats of one database compete for."""

STANDBY_SECONDS = 1.0
HEARTBEAT_SECONDS = 5.0
LEADER_TTL_SECONDS = 30
"""Six missed heartbeats: `doctor` then says that no beat leads."""


LONGEST_PERIOD = timedelta(days=366)
"""No entry is sent more seldom; one that ran longer ago is due all the same."""


def read_last_run(written: bytes, now: datetime) -> datetime | None:
    """Read when an entry last ran, from what any client of Redis may have written; None for no time at all.

    A time to come would keep the entry from being sent until then: it counts as now.
    """
    try:
        moment = datetime.fromisoformat(written.decode())
        moment = moment.replace(tzinfo=moment.tzinfo or UTC)
        return min(max(moment, now - LONGEST_PERIOD), now).astimezone(UTC)
    except (ValueError, OverflowError):
        logger.warning("this is no time at which an entry last ran: %.100r", written)
        return None


class LeaderScheduler(Scheduler):
    """Celery's scheduler, asleep until it leads."""

    def __init__(self, app: DatabaseCelery, *args: Any, **kwargs: Any) -> None:
        self._resources = app.resources
        self._connection: Connection | None = None
        self._next_heartbeat = 0.0
        self._unsent = False
        super().__init__(app, *args, **kwargs)

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Send what is due if this beat leads; give the seconds until the next look."""
        if not self._leads():
            return STANDBY_SECONDS
        self._beat_heart()
        pause = min(super().tick(*args, **kwargs) or 0.0, HEARTBEAT_SECONDS)
        if self._unsent:
            # The schedule was put back to before the failed entry; look at all of it again.
            self._unsent, self._heap = False, None
            return HEARTBEAT_SECONDS
        return pause

    def apply_entry(self, entry: ScheduleEntry, producer: Any = None) -> None:
        """Send one due entry; keep it due when the broker does not take it."""
        logger.info("sending %s (%s)", entry.name, entry.task)
        try:
            self.apply_async(entry, producer=producer, advance=False)
        except Exception:
            # Whatever the reason, the other entries must not wait; this one stays due.
            logger.exception("could not send %s; trying again in %s s", entry.name, HEARTBEAT_SECONDS)
            self.schedule[str(entry.name)] = entry
            self._unsent = True
            return
        try:
            self._resources.redis.hset(BEAT_LAST_RUNS_KEY, str(entry.name), datetime.now(UTC).isoformat())
        except RedisError as error:
            logger.warning("could not write down that %s ran: %s", entry.name, error)

    def close(self) -> None:
        """Give up the lead, so that a standby takes over at once."""
        if self._connection is not None:
            try:
                self._resources.redis.delete(BEAT_LEADER_KEY)
            except RedisError as error:
                logger.warning("could not withdraw the heartbeat: %s", error)
            self._step_down()
        super().close()

    def _leads(self) -> bool:
        try:
            if self._connection is not None:
                # A lost session is a lost lock: ask before every round.
                self._connection.execute(text("select 1"))
                return True
            return self._try_to_lead()
        except SQLAlchemyError as error:
            logger.warning("no leader lock: %s", " ".join(str(error.__cause__ or error).split()))
            self._step_down()
            return False

    def _try_to_lead(self) -> bool:
        connection = self._resources.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        if not connection.scalar(text("select pg_try_advisory_lock(:key)"), {"key": LEADER_LOCK}):
            connection.close()
            return False
        self._connection = connection
        self._resume()
        logger.info("this beat leads now")
        return True

    def _step_down(self) -> None:
        if self._connection is not None:
            # Closing the session, not returning it to the pool, is what frees the lock.
            self._connection.invalidate()
            self._connection.close()
            self._connection = None

    def _resume(self) -> None:
        """Take over when each entry last ran from whoever led before."""
        try:
            known = cast("dict[bytes, bytes]", self._resources.redis.hgetall(BEAT_LAST_RUNS_KEY))
        except RedisError as error:
            logger.warning("could not read when entries last ran: %s", error)
            return
        for name, moment in known.items():
            if entry := self.schedule.get(name.decode(errors="replace")):
                entry.last_run_at = read_last_run(moment, datetime.now(UTC)) or entry.last_run_at
        self._heap = None

    def _beat_heart(self) -> None:
        if time.monotonic() < self._next_heartbeat:
            return
        self._next_heartbeat = time.monotonic() + HEARTBEAT_SECONDS
        leader = {"host": socket.gethostname(), "pid": os.getpid(), "time": time.time()}
        try:
            self._resources.redis.set(BEAT_LEADER_KEY, json.dumps(leader), ex=LEADER_TTL_SECONDS)
        except RedisError as error:
            logger.warning("could not write the heartbeat: %s", error)
