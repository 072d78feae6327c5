"""A beat of ours with one entry that is due every second, to be run as `python -m tests.fast_beat`.

FREEZE_AT=3 has it stop itself, as by SIGSTOP, after all is decided and right before the third message.
MISSED=skip gives the entry that policy.
"""

from __future__ import annotations

import itertools
import os
import signal
from datetime import datetime, timedelta
from typing import Any

from celery.schedules import crontab

from ibutsu_tasks.beat import scheduler
from ibutsu_tasks.beat.leader import LeaderLease, Sent
from ibutsu_tasks.celery_app import create_app_variant
from ibutsu_tasks.roles.start import run_beat
from ibutsu_tasks.schedule import Missed
from ibutsu_tasks.settings import load_settings

ENTRY = "every-second"
TASK = "ibutsu_server.tasks.runs.sync_aborted_runs"


class EverySecond(crontab):
    """Due at each full second of the clock, or of every so many."""

    def remaining_delta(self, last_run_at: datetime, *_: Any, **__: Any) -> tuple[datetime, Any, datetime]:
        return last_run_at.replace(microsecond=0), timedelta(seconds=1), last_run_at


class FreezingLease(LeaderLease):
    """Stops its process in the most dangerous moment."""

    sends = itertools.count(1)

    def send(self, *arguments: Any, **named: Any) -> Sent:
        if next(self.sends) == int(os.environ.get("FREEZE_AT", "0")):
            os.kill(os.getpid(), signal.SIGSTOP)
        return super().send(*arguments, **named)


def main() -> None:
    settings = load_settings()
    scheduler.LeaderLease = FreezingLease  # type: ignore[misc]
    scheduler.POLICIES[ENTRY] = Missed(os.environ.get("MISSED", "once"))
    entries = {ENTRY: {"task": TASK, "schedule": EverySecond()}}

    def variant(*arguments: Any) -> Any:
        app = create_app_variant(*arguments)
        app.conf.beat_schedule = entries
        return app

    run_beat.__globals__["create_app_variant"] = variant
    raise SystemExit(run_beat(settings, []))


if __name__ == "__main__":
    main()
