from __future__ import annotations

import os
import signal
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any

from celery import shared_task
from celery.exceptions import SoftTimeLimitExceeded

from ibutsu_tasks.errors import RefusedError
from ibutsu_tasks.tasks import DatabaseTask, Policy
from workshop.models import Piece
from workshop.package import PAUSE, SIZE, TOKEN

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy.orm import Session

RAN = "workshop:ran"
"""List of what was done, the last thing last."""

ATTEMPTS = "workshop:attempts:"
GO = "workshop:go:"


class PieceTask(DatabaseTask):
    abstract = True

    def gave_up(self, session: Session, args: Sequence[Any], kwargs: Mapping[str, Any], reason: str) -> None:
        session.merge(Piece(id=str([*args, *kwargs.values()][0]), state=reason))


def _note(task: DatabaseTask, text: str) -> None:
    task.resources.redis.rpush(RAN, text)


@shared_task(name="workshop.note", bind=True, base=DatabaseTask)
def note(self: DatabaseTask, text: str) -> None:
    """Note that it ran."""
    _note(self, text)


@shared_task(name="workshop.first", bind=True, base=DatabaseTask)
def first(self: DatabaseTask, text: str) -> None:
    """Come first."""
    _note(self, text)


@shared_task(name="workshop.second", bind=True, base=DatabaseTask)
def second(self: DatabaseTask, text: str) -> None:
    """Come second."""
    _note(self, text)


@shared_task(name="workshop.third", bind=True, base=DatabaseTask)
def third(self: DatabaseTask, text: str) -> None:
    """Come third."""
    _note(self, text)


@shared_task(name="workshop.last", bind=True, base=DatabaseTask)
def last(self: DatabaseTask, text: str) -> None:
    """Come last."""
    _note(self, text)


@shared_task(name="workshop.aside", bind=True, base=DatabaseTask)
def aside(self: DatabaseTask, text: str) -> None:
    """Wait in a queue of its own."""
    _note(self, text)


@shared_task(name="workshop.make", bind=True, base=PieceTask)
def make(self: DatabaseTask, piece_id: str, state: str = "made") -> int:
    """Make a piece, and have it noted once it is there."""
    with self.transaction() as (session, follow_ups):
        session.add(Piece(id=piece_id, state=state))
        follow_ups.send("workshop.note", f"made {piece_id}")
        if state == "broken":
            raise RefusedError("It broke.")
    return int(self.resources.settings.value(SIZE))


@shared_task(name="workshop.cached", bind=True, base=DatabaseTask)
def cached(self: DatabaseTask, key: str, value: str) -> None:
    """Keep a value for a while."""
    self.resources.cache.set(key, value, ex=600)


@shared_task(
    name="workshop.flaky",
    bind=True,
    base=DatabaseTask,
    policy=Policy(retries=2, retry_on=(ValueError,), pause_seconds=PAUSE, growth=2),
)
def flaky(self: DatabaseTask, name: str, failures: int) -> int:
    """Fail so often, and then succeed."""
    attempt = int(self.resources.redis.rpush(f"{ATTEMPTS}{name}", time.time()))
    if attempt <= failures:
        raise ValueError(f"attempt {self.attempt}")
    return attempt


@shared_task(
    name="workshop.hopeless", bind=True, base=DatabaseTask, policy=Policy(retries=2, retry_on=(ValueError,))
)
def hopeless(self: DatabaseTask, name: str) -> None:
    """Fail with what is not tried again."""
    self.resources.redis.rpush(f"{ATTEMPTS}{name}", time.time())
    raise LookupError(f"nothing opens with {self.resources.settings.value(TOKEN)}")


@shared_task(name="workshop.patient", base=DatabaseTask, policy=Policy(soft_time_limit_seconds=0.5))
def patient() -> str:
    """Be asked to end."""
    try:
        time.sleep(60)
    except SoftTimeLimitExceeded:
        return "asked to end"
    return "never asked"


@shared_task(name="workshop.endless", bind=True, base=PieceTask, policy=Policy(time_limit_seconds=1))
def endless(self: DatabaseTask, piece_id: str) -> None:
    """Be killed."""
    _note(self, f"endless {piece_id}")
    time.sleep(600)


@shared_task(
    name="workshop.limited_once",
    bind=True,
    base=DatabaseTask,
    policy=Policy(time_limit_seconds=1, key=lambda job: job),
)
def limited_once(self: DatabaseTask, job: str) -> str:
    """Be killed the first time."""
    if int(self.resources.redis.rpush(f"{ATTEMPTS}{job}", time.time())) == 1:
        time.sleep(600)
    return "done"


@shared_task(name="workshop.once", bind=True, base=DatabaseTask, policy=Policy(key=lambda job, _: job))
def once(self: DatabaseTask, job: str, way: str) -> Any:
    """Do a job once, however often it is asked for."""
    client = self.resources.redis
    attempt = int(client.rpush(f"{ATTEMPTS}{job}", str(self.request.id)))
    if way == "wait":
        client.blpop([f"{GO}{job}"], timeout=60)
    if way == "killed" and attempt == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    if way == "fails":
        raise RefusedError("It cannot be done.")
    return datetime(2026, 3, 4, 5, 6)  # noqa: DTZ001 - what a result backend takes


@shared_task(name="workshop.deadly", bind=True, base=PieceTask, policy=Policy(most_losses=2))
def deadly(self: DatabaseTask, piece_id: str) -> None:
    """Kill its process."""
    self.resources.redis.rpush(f"{ATTEMPTS}{piece_id}", time.time())
    os.kill(os.getpid(), signal.SIGKILL)


@shared_task(name="workshop.counting", bind=True, base=DatabaseTask)
def counting(self: DatabaseTask, job: str) -> str:
    """Tell how far it is, until somebody says go."""
    for done in range(1, 1000):
        self.progress(done, 1000)
        if self.resources.redis.blpop([f"{GO}{job}"], timeout=0.3):  # type: ignore[arg-type]
            break
    self.announce("counted", by=["hand"])
    return "counted"
