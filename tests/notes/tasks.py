"""Tasks on the application's session."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from celery import Task, shared_task
from flask import current_app
from sqlalchemy import func, select, text

from ibutsu_tasks.flask import IbutsuTask
from ibutsu_tasks.tasks import Policy
from ibutsu_tasks.tasks.retries import FAILURES_HEADER, TRIES_HEADER, count_in
from tests.notes.models import Note, db

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy.orm import Session


def _add(words: str) -> None:
    db.session.add(Note(text=words, author=current_app.config["AUTHOR"]))
    db.session.flush()


@shared_task(name="notes.keep", base=IbutsuTask)
def keep(words: str) -> list[object]:
    """Leave a note to be committed; tell of the process and of the connections that others left open."""
    taken_before = db.engine.pool.checkedout()  # type: ignore[attr-defined]  # of a pool with a queue
    _add(words)
    return [os.getpid(), taken_before, db.session.scalar(text("select pg_backend_pid()"))]


@shared_task(name="notes.plain")
def plain(words: str) -> int:
    """Leave one from a task that names no base."""
    _add(words)
    return db.session.scalar(select(func.count()).select_from(Note)) or 0


@shared_task(name="notes.fail", base=IbutsuTask)
def fail(words: str) -> None:
    """Fail after a note."""
    _add(words)
    raise ValueError(words)


@shared_task(name="notes.follow", bind=True, base=IbutsuTask)
def follow(self: IbutsuTask, words: str, *, fails: bool) -> None:
    """Send another task after the commit, or fail before it."""
    with self.transaction() as (session, follow_ups):
        session.add(Note(text=words, author="the transaction"))
        follow_ups.send("notes.keep", f"{words}, followed")
        if fails:
            raise ValueError(words)


@shared_task(
    name="notes.second_time", bind=True, base=IbutsuTask, policy=Policy(retries=1, pause_seconds=0.1)
)
def second_time(self: IbutsuTask, words: str) -> None:
    """Succeed when it runs again."""
    failures = count_in(self, FAILURES_HEADER)
    _add(f"{words} {failures}")
    if not failures:
        raise LookupError(words)


@shared_task(name="notes.cut_off", bind=True, base=IbutsuTask)
def cut_off(self: IbutsuTask, words: str) -> None:
    """Lose the connection at first."""
    tries = count_in(self, TRIES_HEADER)
    _add(f"{words} {tries}")
    if not tries:
        db.session.execute(text("select pg_terminate_backend(pg_backend_pid())"))


class Waiting(IbutsuTask):
    """A task that writes down why it was never run."""

    abstract = True

    def gave_up(self, session: Session, args: Sequence[Any], kwargs: Mapping[str, Any], reason: str) -> None:
        assert not kwargs
        session.add(Note(text=f"{args[0]}: {reason}", author=current_app.config["AUTHOR"]))


@shared_task(name="notes.later", base=Waiting)
def later(words: str) -> None:
    """Run when it was not cancelled."""
    _add(words)


class Ending(Task):  # type: ignore[type-arg]
    """A base that has nothing of ours, and work of its own when a task has ended."""

    abstract = True

    def after_return(self, *details: Any) -> None:
        _add(f"{details[3][0]} has ended")
        db.session.commit()


@shared_task(name="notes.own_base", base=Ending)
def own_base(words: str) -> None:
    """Leave a note to be committed by the base."""
    _add(words)
