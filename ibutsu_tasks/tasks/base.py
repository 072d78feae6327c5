"""What every task has: a transaction, follow-up messages after its commit, and a policy for retries."""

from __future__ import annotations

import inspect
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from celery import Task, current_app, signals
from celery.exceptions import Retry, SoftTimeLimitExceeded, TaskPredicate
from kombu.utils.json import dumps

from ibutsu_tasks.delivery.dead.content import about_call
from ibutsu_tasks.delivery.pauses import after
from ibutsu_tasks.errors import IbutsuTasksError, TaskArgumentsError
from ibutsu_tasks.logs.lines import RunningTask, current_task
from ibutsu_tasks.tasks.once import run_once
from ibutsu_tasks.tasks.outages import DATABASE, outages
from ibutsu_tasks.tasks.policy import Policy
from ibutsu_tasks.tasks.progress import Reporter
from ibutsu_tasks.tasks.registry import PackagesCelery
from ibutsu_tasks.tasks.retries import FAILURES_HEADER, count_in, send_again, try_again
from ibutsu_tasks.temporary_errors import is_temporary
from ibutsu_tasks.text.quoting import cut

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from sqlalchemy.orm import Session

    from ibutsu_tasks.resources import Resources


class DatabaseCelery(PackagesCelery):
    """An application whose tasks have a database."""

    def __init__(self, *args: Any, resources: Resources, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.resources = resources

    def around_task(self) -> AbstractContextManager[object]:
        """Give what each task runs inside: nothing here."""
        return nullcontext()

    def drop_after_fork(self) -> None:
        """Forget the connections of the process that this one was forked from."""
        self.resources.drop_after_fork()


@dataclass(slots=True)
class FollowUps:
    """Messages to send once the transaction they speak of is committed."""

    messages: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = field(default_factory=list)

    def send(self, task_name: str, *args: Any, **options: Any) -> None:
        """Send `task_name` with `args` after the commit; `options` are those of `send_now`.

        Raises TypeError, while nothing is committed yet, for what a message cannot hold.
        """
        dumps(args)
        self.messages.append((task_name, args, options))


MAX_MISFIT_CHARACTERS = 200


class DatabaseTask(Task[Any, Any]):
    """A task with a session; what a temporary error ended is tried again until it succeeds."""

    abstract = True
    # Celery's own retries are not used: its request counts killed processes, a header temporary errors.
    max_retries = None
    Request = "ibutsu_tasks.health.requests:CountedRequest"
    # What was foreseen has its sentence: one line in the log, no traceback.
    throws = (IbutsuTasksError,)

    policy = Policy()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Give Celery the time limits of the policy."""
        super().__init_subclass__(**kwargs)
        if "policy" in cls.__dict__:
            # The stubs know whole seconds alone.
            cls.soft_time_limit = cast("int | None", cls.policy.soft_time_limit_seconds)
            cls.time_limit = cast("int | None", cls.policy.time_limit_seconds)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the task; send it again for later when a second try may cure what went wrong."""
        if self.request.is_eager or self.request.called_directly:
            return self._run(*args, **kwargs)
        try:
            return self._run_once(args, kwargs)
        except Exception as error:
            if isinstance(error, TypeError):
                self._refuse_what_does_not_fit(args, kwargs)
            if is_temporary(error):
                try_again(self, error)
            self._retry(error)
            raise

    def _refuse_what_does_not_fit(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        try:
            inspect.signature(self.run).bind(*args, **kwargs)
        except TypeError as error:
            name = self.name.rpartition(".")[2]
            raise TaskArgumentsError(f"{name}: {cut(str(error), MAX_MISFIT_CHARACTERS)}.") from None

    def retry(self, *args: Any, **kwargs: Any) -> Retry:
        """Try again as Celery does, while the task runs, and do nothing when it has failed.

        The application of an Ibutsu server has a handler that tries again, for ever, whatever failed.
        """
        if getattr(self.request, "may_retry", False):
            return super().retry(*args, **kwargs)
        return Retry()

    def _run_once(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        run = partial(self._run, *args, **kwargs)
        if (name := self.work_name(args, kwargs)) is None:
            return run()
        return run_once(self.resources.redis, name, str(self.request.id), run, self.policy.key_seconds)

    def work_name(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str | None:
        """Name the work that a message asks for, by the key of the policy; None where there is none."""
        key = self.policy.key and self.policy.key(*args, **kwargs)
        return None if key is None else f"{self.name}:{key}"

    def _run(self, *args: Any, **kwargs: Any) -> Any:
        request: Any = self.request
        request.may_retry = True
        try:
            with self._surroundings():
                return self.run(*args, **kwargs)
        finally:
            request.may_retry = False

    def _surroundings(self) -> AbstractContextManager[object]:
        app = self.app
        return app.around_task() if isinstance(app, DatabaseCelery) else nullcontext()

    def _retry(self, error: Exception) -> None:
        policy, failures = self.policy, self.attempt
        # What Celery itself raises in a task (Retry, Reject, Ignore) decides already.
        if failures > policy.retries or isinstance(error, TaskPredicate | SoftTimeLimitExceeded):
            return
        if isinstance(error, policy.retry_on):
            pause = policy.pause_after(failures, self.resources.settings)
            send_again(self, error, pause, {FAILURES_HEADER: failures})

    @property
    def attempt(self) -> int:
        """The number of this attempt by the retries of the policy, from 1; right here there is one alone."""
        return count_in(self, FAILURES_HEADER) + 1

    def progress(self, done: int, total: int) -> None:
        """Tell how far the running task is, in whole numbers: in its state, and on `job_updates`."""
        self._running_reporter()(int(done), int(total))

    def announce(self, status: str, **facts: Any) -> None:
        """Tell on the channel alone what became of the running task, with facts that JSON can hold."""
        self._running_reporter().end(status, **facts)

    def _running_reporter(self) -> Reporter:
        request: Any = self.request
        if not hasattr(request, "reporter"):
            request.reporter = self.reporter(request.id, request.args, request.kwargs)
        return cast("Reporter", request.reporter)

    def reporter(self, task_id: str | None, args: Any, kwargs: Any) -> Reporter:
        """Give what tells those who follow the task of a message."""
        return Reporter(self, task_id, {"task": self.name, **about_call(self.name, args, kwargs)})

    def gave_up(self, session: Session, args: Sequence[Any], kwargs: Mapping[str, Any], reason: str) -> None:
        """Write down, in a transaction of the worker's own process, that a message will not be carried out.

        Called when a time limit or the loss of too many processes ended the task, or when it was revoked:
        what the task itself could not write. Tasks with rows that wait for it override this. It is called by
        any worker that has the task, once the database is there, and may be called twice.
        """

    def give_up(
        self, resources: Resources, args: Sequence[Any], kwargs: Mapping[str, Any], reason: str
    ) -> None:
        """Call `gave_up`, where there is one, in a transaction of its own. Raises as `Resources.session`."""
        if type(self).gave_up is not DatabaseTask.gave_up:
            with self._surroundings(), resources.session() as session:
                self.gave_up(session, tuple(args), dict(kwargs), reason)

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

    def send_now(
        self, task_name: str, *args: Any, pause_seconds: float = 0, headers: Mapping[str, Any] | None = None
    ) -> None:
        """Send a message, for later; run the task right here when this one itself runs without a worker."""
        if self.request.is_eager:
            self.app.tasks[task_name].apply(args, throw=True)
        else:
            eta, pause = after(self.resources.redis, pause_seconds) if pause_seconds else (None, {})
            self.app.send_task(task_name, args, eta=eta, headers={**(headers or {}), **pause})


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
        app.drop_after_fork()
