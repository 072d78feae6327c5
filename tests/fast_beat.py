"""A beat of ours with one entry that is due every second, to be run as `python -m tests.fast_beat`.

FREEZE_AT=3 has it stop itself, as by SIGSTOP, after all is decided and right before the third message;
LOSE_ANSWER_AT=3 has the broker's answer to it lost.
MISSED=skip gives the entry that policy.
"""

from __future__ import annotations

import itertools
import os
import select
import signal
import time
from datetime import datetime, timedelta
from typing import Any

from celery.schedules import crontab
from redis.exceptions import TimeoutError as RedisTimeoutError

from ibutsu_tasks.beat import scheduler
from ibutsu_tasks.beat.leader import LeaderLease, Sent
from ibutsu_tasks.celery_app import create_app_variant
from ibutsu_tasks.packages import Missed
from ibutsu_tasks.roles.start import run_beat
from ibutsu_tasks.settings import load_settings

ENTRY = "every-second"
TASK = "ibutsu_server.tasks.runs.sync_aborted_runs"


class EverySecond(crontab):
    """Due at each full second of the clock, or of every so many."""

    def remaining_delta(self, last_run_at: datetime, *_: Any, **__: Any) -> tuple[datetime, Any, datetime]:
        return last_run_at.replace(microsecond=0), timedelta(seconds=1), last_run_at


class UnluckyLease(LeaderLease):
    """Has its process stopped, or an answer lost, in the most dangerous moment."""

    sends = itertools.count(1)

    def send(self, *arguments: Any, **named: Any) -> Sent:
        number = str(next(self.sends))
        if number == os.environ.get("FREEZE_AT"):
            os.kill(os.getpid(), signal.SIGSTOP)
        outcome = super().send(*arguments, **named)
        if number == os.environ.get("LOSE_ANSWER_AT"):
            raise RedisTimeoutError("Timeout reading from socket")
        return outcome


def main() -> None:
    settings = load_settings()
    scheduler.LeaderLease = UnluckyLease  # type: ignore[misc]
    scheduler.policy_of = lambda _: Missed(os.environ.get("MISSED", "once"))
    entries = {ENTRY: {"task": TASK, "schedule": EverySecond()}}

    def variant(*arguments: Any) -> Any:
        app = create_app_variant(*arguments)
        app.conf.beat_schedule = entries
        return app

    if "FAKETIME" in os.environ:
        # libfaketime takes the moment until which Python sleeps for one of the wrong clock.
        time.sleep = lambda seconds: select.select([], [], [], max(0.0, seconds)) and None
    run_beat.__globals__["create_app_variant"] = variant
    raise SystemExit(run_beat(settings, []))


if __name__ == "__main__":
    main()
