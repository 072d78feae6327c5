"""Two workers, step by step, in any order, dying anywhere: the last summary of a run is right."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlalchemy import event, func, select
from sqlalchemy.orm import Session

from ibutsu_tasks.broker.connection import build_client
from ibutsu_tasks.celery_app import WORKER_NAME, build_database_app
from ibutsu_tasks.ibutsu.database.models import Result, Run
from ibutsu_tasks.ibutsu.run_lock import LOCK_TTL_SECONDS
from ibutsu_tasks.ibutsu.wire_names import UPDATE_RUN
from tests.factories import make_result, make_run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from redis import Redis
    from sqlalchemy import Engine

    from ibutsu_tasks.settings import Settings

STEP_TIMEOUT_SECONDS = 30
LONG_ENOUGH_STEPS = 2000


class KilledError(BaseException):
    """The end of a process: no `except Exception` sees it, and nothing it still tries has an effect."""


@dataclass
class Message:
    id: str
    args: tuple[Any, ...]
    headers: dict[str, Any]


class Worker:
    """A worker process that stops before every command to Redis, every statement and every commit."""

    def __init__(self, settings: Settings, queue: list[Message]) -> None:
        self.app = build_database_app(WORKER_NAME, settings)
        self.message: Message | None = None
        self.in_transaction = False
        self.failure: BaseException | None = None
        self._queue = queue
        self._may_go, self._has_stopped = threading.Semaphore(0), threading.Semaphore(0)
        self._is_dead = False
        self.app.send_task = self._send  # type: ignore[method-assign]  # the queue is the test's
        self._stop_before_everything()

    def _stop_before_everything(self) -> None:
        pool, engine = self.app.resources.redis.connection_pool, self.app.resources.engine
        connect = pool.get_connection

        def stop_and_connect(*args: Any, **kwargs: Any) -> Any:
            self._stop()
            return connect(*args, **kwargs)

        pool.get_connection = stop_and_connect  # type: ignore[method-assign]  # where all commands pass
        event.listen(engine, "before_cursor_execute", lambda *_: self._stop(in_transaction=True))
        event.listen(engine, "commit", lambda _: self._stop(in_transaction=True))

    def _send(self, _name: str, args: tuple[Any, ...], **options: Any) -> None:
        self._stop()
        self._queue.append(Message(uuid4().hex, args, options.get("headers") or {}))

    def _stop(self, *, in_transaction: bool = False) -> None:
        if self._is_dead:
            raise KilledError
        self.in_transaction = in_transaction
        self._has_stopped.release()
        self._may_go.acquire()
        if self._is_dead:
            raise KilledError

    def begin(self, message: Message) -> None:
        self.message, self._is_dead = message, False
        threading.Thread(target=self._work, args=(message,), daemon=True).start()
        self._wait()

    def _work(self, message: Message) -> None:
        task = self.app.tasks[UPDATE_RUN]
        task.push_request(
            id=message.id, args=message.args, headers=message.headers, is_eager=False, called_directly=False
        )
        try:
            task.run(*message.args)
        except BaseException as error:  # noqa: BLE001 - shown by whoever waits for the step
            self.failure = None if isinstance(error, KilledError) else error
        finally:
            task.pop_request()
            self.message, self.in_transaction = None, False
            self._has_stopped.release()

    def step(self) -> None:
        self._may_go.release()
        self._wait()

    def _wait(self) -> None:
        assert self._has_stopped.acquire(timeout=STEP_TIMEOUT_SECONDS), "a worker hangs"
        if self.failure is not None:
            raise self.failure

    def kill(self) -> Message | None:
        """End it where it stands; give the message it held."""
        held, self._is_dead = self.message, True
        self.step()
        return held


@dataclass
class Fleet:
    """Two workers, a queue which the test delivers from, and a clock which the test moves."""

    engine: Engine
    client: Redis
    run_id: UUID
    workers: list[Worker]
    queue: list[Message] = field(default_factory=list)
    late: list[Message] = field(default_factory=list)
    """What comes back only after the broker's visibility time-out, its whole worker having died."""

    def act(self, action: tuple[str, int]) -> None:
        name, number = action
        getattr(self, name)(number)

    def insert(self, copies: int) -> None:
        """Add a result as the API server does; a message may be delivered more than once."""
        if any(worker.in_transaction for worker in self.workers):
            return  # it would wait for the row
        with Session(self.engine) as session, session.begin():
            make_result(session, session.get_one(Run, self.run_id), result="failed" if copies else "passed")
        message = Message(uuid4().hex, (str(self.run_id),), {})
        self.queue.extend([message] * (1 + copies))

    def step(self, number: int) -> None:
        """Let a worker do one thing; an idle one takes the next message."""
        worker = self.workers[number]
        if worker.message is not None:
            worker.step()
        elif self.queue:
            worker.begin(self.queue.pop(0))

    def run(self, number: int) -> None:
        """Let a worker end its task, or do all of the next one."""
        self.step(number)
        for _ in range(LONG_ENOUGH_STEPS):
            if self.workers[number].message is None:
                return
            self.step(number)
        raise AssertionError("a task does not end")

    def kill(self, number: int) -> None:
        """Kill a worker's process; its parent has the message run again at once."""
        if self.workers[number].message is not None:
            self.queue[:0] = filter(None, [self.workers[number].kill()])

    def die(self, steps: int) -> None:
        """Kill a worker's process in the middle of the next message."""
        self.step(0)
        for _ in range(steps):
            if self.workers[0].message is not None:
                self.step(0)
        self.kill(0)

    def lose(self, number: int) -> None:
        """Kill a whole worker."""
        if self.workers[number].message is not None:
            self.late.extend(filter(None, [self.workers[number].kill()]))

    def wait(self, milliseconds: int) -> None:
        """Move the clock: every key in Redis is that much nearer to its end."""
        for key in self.client.scan_iter():
            left = self.client.pttl(key)
            if left > 0:
                self.client.pexpire(key, max(left - milliseconds, 0))

    def settle(self) -> None:
        """Deliver everything there is until nothing more comes, those of dead workers last."""
        for number in (0, 1):
            if self.workers[number].message is not None:
                self.run(number)
        self._drain()
        self.wait(VISIBILITY_TIMEOUT_MILLISECONDS)
        self.queue.extend(self.late)
        self.late.clear()
        self._drain()

    def _drain(self) -> None:
        for _ in range(LONG_ENOUGH_STEPS):
            if not self.queue:
                return
            self.wait(1100)
            self.run(0)
        raise AssertionError("the messages do not end")


VISIBILITY_TIMEOUT_MILLISECONDS = 3_600_000

WORKERS = st.integers(0, 1)
# Waits that keep within the life of a lock: what a live worker holds never expires under it.
ACTIONS = st.one_of(
    st.tuples(st.just("step"), WORKERS),
    st.tuples(st.just("step"), WORKERS),
    st.tuples(st.just("insert"), WORKERS),
    st.tuples(st.just("run"), WORKERS),
    st.tuples(st.sampled_from(["kill", "lose"]), WORKERS),
    st.tuples(st.just("die"), st.integers(0, 15)),
    st.tuples(st.just("wait"), st.sampled_from([200, 1100, 6000])),
)
MAX_ACTIONS = 40
assert MAX_ACTIONS * 6 < LOCK_TTL_SECONDS


@pytest.fixture
def workers(settings: Settings) -> Iterator[tuple[list[Worker], list[Message]]]:
    queue: list[Message] = []
    made = [Worker(settings, queue) for _ in range(2)]
    yield made, queue
    for worker in made:
        worker.app.resources.close()


# Dies between its claim to have the run looked at again and the message that does so.
@example(actions=[("insert", 0), ("run", 0), ("insert", 0), ("die", 3)])
# The message that looks again dies with its whole worker, and comes again after the visibility time-out.
@example(actions=[("insert", 0), ("die", 4), ("run", 0), ("step", 1), ("lose", 1)])
@given(actions=st.lists(ACTIONS, max_size=MAX_ACTIONS))
@hypothesis_settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_the_last_summary_is_right_whatever_happens_when(
    engine: Engine,
    broker_url: str,
    workers: tuple[list[Worker], list[Message]],
    actions: list[tuple[str, int]],
) -> None:
    with build_client(broker_url) as client, Session(engine) as session:
        client.flushall()
        run_id = make_run(session).id
        session.commit()
        workers[1].clear()
        fleet = Fleet(engine, client, run_id, *workers)
        for action in actions:
            fleet.act(action)
        fleet.settle()

        session.expire_all()
        counts = select(Result.result, func.count()).where(Result.run_id == run_id).group_by(Result.result)
        statuses: dict[str, int] = dict(map(tuple, session.execute(counts)))
        summary = session.get_one(Run, run_id).summary or {}
        expected = (sum(statuses.values()), statuses.get("failed", 0))
        assert (summary.get("tests", 0), summary.get("failures", 0)) == expected
