"""Celery's scheduler in our hands: one round after the other, everything it knows in Redis.

Written for Celery 5.7: its service calls `tick`, sleeps for as long as that says, and calls `close` at the
end, twice when a signal ends it.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from celery.beat import ScheduleEntry, Scheduler
from redis.exceptions import RedisError

from ibutsu_tasks.beat.due import next_run
from ibutsu_tasks.beat.leader import LeaderLease, Sent
from ibutsu_tasks.beat.message import encode
from ibutsu_tasks.beat.state import read_runs
from ibutsu_tasks.broker.garbled import explain
from ibutsu_tasks.broker.layout import BEAT_KNOWN_SINCE_KEY
from ibutsu_tasks.packages import Missed, loaded

if TYPE_CHECKING:
    from datetime import datetime

    from ibutsu_tasks.beat.state import Runs
    from ibutsu_tasks.tasks.base import DatabaseCelery

logger = logging.getLogger(__name__)

STANDBY_SECONDS = 1.0
"""How often a standby looks whether the lead is free, and who leads whether the broker is back."""

RENEW_SECONDS = 2.0
"""The longest pause of who leads: its lease survives four rounds that fail."""

REMOTE_CONTROL_OUTAGES = ("beat pidbox: Connection error", "beat pidbox connection error")
"""How lines of Celery begin, one per try, with which its thread for `inspect ping` follows an outage."""


class LeaderScheduler(Scheduler):
    """Sends what is due while this process leads; asks Redis for everything, the time of day included."""

    def __init__(self, app: DatabaseCelery, *args: Any, **kwargs: Any) -> None:
        self._redis = app.resources.redis
        self._lease = LeaderLease(self._redis)
        self._remembered: dict[str, datetime] = {}
        self._is_cut_off = False
        logging.getLogger("celery.beat").addFilter(_says_something_new)
        super().__init__(app, *args, **kwargs)

    def setup_schedule(self) -> None:
        """Take the application's schedule, and no entry of Celery's own."""
        self.merge_inplace(self.app.conf.beat_schedule)

    def tick(self, *_: Any, **__: Any) -> float:
        """Take or renew the lead and send what is due; give the seconds until the next look."""
        try:
            pause_seconds = self._round()
        except (RedisError, OSError) as error:
            if not self._is_cut_off:
                reason = explain(self._redis, error)
                logger.warning("the broker fails, nothing is sent until it works again: %s", reason)
            self._is_cut_off = True
            return STANDBY_SECONDS
        if self._is_cut_off:
            logger.info("the broker works again")
        self._is_cut_off = False
        return pause_seconds

    def close(self) -> None:
        """Give up the lead, so that a standby takes over at once."""
        # A broker that does not answer would hold up the end, and the lease ends by itself.
        if not self._is_cut_off:
            try:
                self._lease.release()
            except (RedisError, OSError) as error:
                logger.warning("could not give up the lead: %s", error)
                self._is_cut_off = True
        super().close()

    def _round(self) -> float:
        leads = self._try_to_lead()
        runs = self._read_runs()
        if not leads:
            return STANDBY_SECONDS
        self._complete(runs)
        due = {name: self._due(entry, runs) for name, entry in self.schedule.items()}
        for name in sorted(due, key=due.__getitem__):
            if due[name] <= runs.now:
                self._send(self.schedule[name], due[name], runs)
        left = [(moment - runs.now).total_seconds() for moment in due.values()]
        return max(min([RENEW_SECONDS, *left]), 0)

    def _try_to_lead(self) -> bool:
        fence_before = self._lease.fence
        leads = self._lease.try_hold()
        if leads and self._lease.fence != fence_before:
            logger.info("this beat leads now (fence %s)", self._lease.fence)
        elif fence_before is not None and not leads:
            logger.warning("another beat leads now, this one stands by")
        return leads

    def _read_runs(self) -> Runs:
        """Read the last runs, and remember them: a broker may come back empty, or as it was some time ago."""
        runs = read_runs(self._redis)
        for name in self.schedule.keys() & runs.last.keys():
            moment = runs.last[name]
            self._remembered[name] = max(moment, self._remembered.get(name, moment))
        return runs

    def _due(self, entry: ScheduleEntry, runs: Runs) -> datetime:
        name = str(entry.name)
        # A clock that went back must not keep an entry from being sent until it is where it was.
        last_run = self._remembered.get(name) or runs.base(name) or runs.now
        policy = policy_of(name)
        return next_run(entry.schedule, policy, min(last_run, runs.now), runs.now)

    def _complete(self, runs: Runs) -> None:
        """Write down what Redis has lost, coming back empty or as it was, and entries that are new.

        So one that never ran is caught up too, from the first moment on at which a beat that has it led.
        """
        for name, moment in self._remembered.items():
            if name not in runs.last or runs.last[name] < moment:
                self._lease.write_down(name, runs.written.get(name.encode(), b""), moment.isoformat())
        new = [name for name in self.schedule if runs.base(name) is None and name not in self._remembered]
        if new:
            self._redis.hset(BEAT_KNOWN_SINCE_KEY, mapping=dict.fromkeys(new, runs.now.isoformat()))

    def _send(self, entry: ScheduleEntry, due: datetime, runs: Runs) -> None:
        name, task = str(entry.name), str(entry.task)
        logger.info("sending %s (%s), due at %s", name, task, due.isoformat(timespec="seconds"))
        queue, message = encode(self.app, task, entry.args or (), due.isoformat(), **(entry.options or {}))
        last_seen = runs.written.get(name.encode(), b"")
        outcome = self._lease.send(name, last_seen, runs.now.isoformat(), queue, message)
        if outcome is not Sent.SENT:
            logger.warning("did not send %s: %s", name, outcome)


def policy_of(name: str) -> Missed:
    """Give what becomes of missed runs of an entry of the schedule."""
    return next((row.missed for row in loaded().schedule if row.name == name), Missed.ONCE)


def _says_something_new(record: logging.LogRecord) -> bool:
    return not str(record.msg).startswith(REMOTE_CONTROL_OUTAGES)
