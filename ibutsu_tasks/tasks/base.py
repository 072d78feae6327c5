"""What every task has: a transaction, follow-up messages after its commit, and a policy for retries."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from celery import Celery, Task, current_app, signals

from ibutsu_tasks.delivery.dead.content import about_call
from ibutsu_tasks.errors import IbutsuTasksError
from ibutsu_tasks.logs.lines import RunningTask, current_task
from ibutsu_tasks.tasks.outages import DATABASE, outages
from ibutsu_tasks.tasks.retries import try_again
from ibutsu_tasks.temporary_errors import is_temporary

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.orm import Session

    from ibutsu_tasks.resources import Resources


class DatabaseCelery(Celery):
    """An application whose tasks have a database."""

    def __init__(self, *args: Any, resources: Resources, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.resources = resources


@dataclass(slots=True)
class FollowUps:
    """Messages to send once the transaction they speak of is committed."""

    messages: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = field(default_factory=list)

    def send(self, task_name: str, *args: Any, **options: Any) -> None:
        """Send `task_name` with `args` after the commit; `options` are those of `apply_async`."""
        self.messages.append((task_name, args, options))


class DatabaseTask(Task[Any, Any]):
    """A task with a session; what a temporary error ended is tried again until it succeeds."""

    abstract = True
    # Celery's own retries are not used: its request counts killed processes, a header temporary errors.
    max_retries = None
    Request = "ibutsu_tasks.health.requests:CountedRequest"
    # What was foreseen has its sentence: one line in the log, no traceback.
    throws = (IbutsuTasksError,)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the task; send it again for later when a second try may cure what went wrong."""
        try:
            return self.run(*args, **kwargs)
        except Exception as error:
            if self.request.is_eager or self.request.called_directly or not is_temporary(error):
                raise
            try_again(self, error)

    @property
    def resources(self) -> Resources:
        """The connections of this process."""
        return cast("DatabaseCelery", self.app).resources

    @contextmanager
    def session(self) -> Iterator[Session]:
        """Run one transaction, as `Resources.session` does."""
        with self.resources.session() as session:
            yield session
        outages.end(DATABASE)

    @contextmanager
    def transaction(self) -> Iterator[tuple[Session, FollowUps]]:
        """Run one transaction and send its follow-up messages after the commit, never before."""
        follow_ups = FollowUps()
        with self.session() as session:
            yield session, follow_ups
        for name, args, options in follow_ups.messages:
            self.send_now(name, *args, **options)

    def send_now(self, task_name: str, *args: Any, **options: Any) -> None:
        """Send a message; run the task right here when this one itself runs without a worker."""
        if self.request.is_eager:
            self.app.tasks[task_name].apply(args, throw=True)
        else:
            self.app.send_task(task_name, args, **options)


@signals.task_prerun.connect(dispatch_uid="ibutsu-tasks-task-prerun")
def _enter_task(task_id: str, task: Task[Any, Any], args: Any, kwargs: Any, **_: Any) -> None:
    current_task.set(RunningTask(task.name, task_id, about_call(task.name, args, kwargs)))


@signals.task_postrun.connect(dispatch_uid="ibutsu-tasks-task-postrun")
def _leave_task(**_: Any) -> None:
    current_task.set(None)


@signals.worker_process_init.connect(dispatch_uid="ibutsu-tasks-after-fork")
def _drop_connections(**_: Any) -> None:
    app = current_app._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001 - the stubs know no proxy
    if isinstance(app, DatabaseCelery):
        app.resources.drop_after_fork()
