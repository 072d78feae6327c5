"""A mixed load on workers and beats, one of whose processes is killed or frozen every few seconds."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from ibutsu_tasks.broker.connection import build_client
from ibutsu_tasks.broker.layout import UNACKED, queue_depth
from ibutsu_tasks.database.models import Artifact, Import, Result, Run
from ibutsu_tasks.operations.imports.uploads import store_upload
from tests.chaos.fleet import Fleet
from tests.commands import run, services, until
from tests.worker_system import import_message, message_text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from redis import Redis
    from sqlalchemy import Engine

CASES = 40
LEASE_SECONDS = 3
FREEZE_SECONDS = 2 * LEASE_SECONDS
SETTLING_SECONDS = 180
WAYS = {"worker": ("kill", "kill the pool", "kill all of it", "freeze"), "beat": ("kill", "freeze")}
NAMES = ("worker one", "worker two", "worker three", "beat a", "beat b")

REPORT = "<testsuite name='soak'>{}</testsuite>".format(
    "".join(
        f"<testcase classname='shop.Cart' name='test_{number}'><system-out>{number}</system-out></testcase>"
        for number in range(CASES)
    )
).encode()
"""Each case becomes one result and one artifact."""


@dataclass
class Tally:
    """What was done to the system, and what came of it."""

    imports: dict[UUID, float] = field(default_factory=dict)
    """By id, when it was sent."""
    updates: list[str] = field(default_factory=list)
    """Ids of tasks."""
    faults: Counter[str] = field(default_factory=Counter)
    received: int = 0
    """Messages that workers took, those taken again included."""
    longest_delay_seconds: float = 0.0

    def __str__(self) -> str:
        sent = len(self.imports) + len(self.updates)
        return (
            f"messages sent {sent}, faults {sum(self.faults.values())} {dict(self.faults)}, "
            f"redeliveries {max(0, self.received - sent)}, duplicates 0, lost 0, "
            f"longest delay {self.longest_delay_seconds:.1f} s"
        )


class Soak:
    """One run of it; `seed` makes the load and the order of the faults again, not their moments."""

    def __init__(self, broker_url: str, database_url: str, engine: Engine, seed: int) -> None:
        self.client: Redis = build_client(broker_url)
        self.engine = engine
        self.chance = random.Random(seed)  # noqa: S311 - not a secret
        self.tally = Tally()
        self._env = services(broker_url, database_url) | {"IBUTSU_TASKS_LEASE_SECONDS": str(LEASE_SECONDS)}
        self.fleet = Fleet(*NAMES, env=self._env, concurrency=2)

    def run(self, seconds: float) -> Tally:
        """Send and disturb for so long, then wait until everything has ended."""
        try:
            self.fleet.wait_until_ready()
            end = time.monotonic() + seconds
            next_fault = time.monotonic() + 3
            while time.monotonic() < end:
                self._send()
                if time.monotonic() > next_fault:
                    self._disturb()
                    next_fault = time.monotonic() + self.chance.uniform(2, 4)
                self.fleet.restart_what_ended()
                self._note_delays()
                time.sleep(self.chance.uniform(0.05, 0.3))
            until(self._has_settled, SETTLING_SECONDS)
            self.tally.received = self.fleet.received()
        finally:
            self.fleet.close()
            self.client.close()
        return self.tally

    def _send(self) -> None:
        kind = self.chance.choices(("import", "update", "prune", "enqueue"), (6, 3, 0.5, 0.2))[0]
        if kind == "import":
            with Session(self.engine, expire_on_commit=False) as session:
                upload = store_upload(session, f"soak-{len(self.tally.imports)}.xml", REPORT)
                session.commit()
                row = session.get_one(Import, upload.import_id)
                self._publish("importers.run_junit_import", import_message(row))
                self.tally.imports[row.id] = time.monotonic()
        elif kind == "update" and self.tally.imports:
            run_id = str(self.chance.choice(list(self.tally.imports)))
            self.tally.updates.append(self._publish("runs.update_run", json.dumps(run_id)))
        elif kind == "prune":
            self.tally.updates.append(self._publish("db.prune_old_files", "3"))
        elif kind == "enqueue":
            done = run("enqueue", "sync_aborted_runs", env=self._env)
            if done.returncode == 0:
                self.tally.updates.append(done.stdout.split()[-1])

    def _publish(self, task: str, argument: str) -> str:
        task_id, message = message_text(task, argument)
        self.client.lpush("celery", message)
        return task_id

    def _disturb(self) -> None:
        name = self.chance.choice(list(self.fleet.running))
        kind = name.partition(" ")[0]
        way = self.chance.choice(WAYS[kind])
        if self.fleet.running[name].process.poll() is not None:
            return
        self.tally.faults[f"{way} ({kind})"] += 1
        if way == "freeze":
            main = self.fleet.main(name)
            main.suspend()
            time.sleep(FREEZE_SECONDS)
            main.resume()
        else:
            self.fleet.kill(name, main=way != "kill the pool", children=way != "kill")

    def _note_delays(self) -> None:
        now = time.monotonic()
        waiting = [now - self.tally.imports[one] for one in self._unended()]
        self.tally.longest_delay_seconds = max([self.tally.longest_delay_seconds, *waiting])

    def _unended(self) -> list[UUID]:
        with self.engine.connect() as connection:
            query = select(Import.id).where(Import.status.in_(("pending", "running")))
            return [one for one in connection.scalars(query) if one in self.tally.imports]

    def _has_settled(self) -> bool:
        self.fleet.restart_what_ended()
        self._note_delays()
        time.sleep(0.5)
        return not (self._unended() or queue_depth(self.client, "celery") or self.client.hlen(UNACKED))

    def audit(self) -> Iterator[str]:
        """Name everything that is not as it must be."""
        with Session(self.engine) as session:
            for row in session.scalars(select(Import).where(Import.id.in_(self.tally.imports))):
                if row.status != "done":
                    yield f"import {row.id} is {row.status}: {row.data}"
            rows = len(self.tally.imports) * CASES
            for model, wanted in ((Run, len(self.tally.imports)), (Result, rows), (Artifact, rows)):
                counted = session.scalar(select(func.count()).select_from(model))
                if counted != wanted:
                    yield f"{counted} rows in {model.__tablename__}, not {wanted}"
            locks = session.scalar(text("select count(*) from pg_locks where locktype = 'advisory'"))
            if locks:
                yield f"{locks} advisory locks are left"
            wrong = [
                run.id for run in session.scalars(select(Run)) if (run.summary or {}).get("tests") != CASES
            ]
            if wrong:
                yield f"the summaries of {wrong} are wrong"


def outcomes(client: Redis, task_ids: list[str]) -> Counter[str]:
    """Count the states of tasks, as the result backend tells them."""
    found = (json.loads(client.get(f"celery-task-meta-{task_id}") or b"{}") for task_id in task_ids)
    return Counter(one.get("status", "lost") for one in found)
