"""A mixed load on workers and beats, one of whose processes is killed or frozen every few seconds."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID, uuid5

import psutil
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from ibutsu_tasks.broker.layout import (
    HELD_PREFIX,
    HOLDERS,
    PRIORITY_STEPS,
    SLOTS_PREFIX,
    UNACKED,
    queue_depth,
    redis_list,
)
from ibutsu_tasks.ibutsu.database.models import Artifact, Import, Result, Run
from ibutsu_tasks.ibutsu.operations.imports.uploads import store_upload
from tests.chaos.fleet import Fleet
from tests.commands import run, until
from tests.worker_system import import_message, message_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis import Redis
    from sqlalchemy import Engine

SIZES = {40: 11, 4000: 1}
"""Test cases of an import: how often it has so many. A large one is in work when a process is killed."""

LEASE_SECONDS = 3
FREEZE_SECONDS = 2 * LEASE_SECONDS
SETTLING_SECONDS = 180
WAYS = {
    "worker": ("kill", "kill the pool", "kill all of it", "freeze", "stop", "stop twice"),
    "beat": ("kill", "freeze", "stop"),
}
CELERY_OPTIONS = {
    "worker two": ("--prefetch-multiplier", "4", "--max-tasks-per-child", "3"),
    "worker three": ("--pool", "solo", "--prefetch-multiplier", "4"),
}
DELAYS_SECONDS = (0, 0, 0, 1, 4)
"""What messages wait for; some of them have a priority, too."""

NAMES = ("worker one", "worker two", "worker three", "beat a", "beat b")


def report(cases: int) -> bytes:
    """Give a report, each case of which becomes one result and one artifact."""
    case = "<testcase classname='shop.Cart' name='test_{0}'><system-out>{0}</system-out></testcase>"
    return f"<testsuite>{''.join(case.format(number) for number in range(cases))}</testsuite>".encode()


@dataclass
class Tally:
    """What was done to the system, and what came of it."""

    imports: dict[UUID, float] = field(default_factory=dict)
    """By id, when it was sent."""
    cases: dict[UUID, int] = field(default_factory=dict)
    """By id of the run that an import becomes, how many test cases it has."""
    updates: list[str] = field(default_factory=list)
    """Ids of tasks."""
    faults: Counter[str] = field(default_factory=Counter)
    received: int = 0
    """Messages that workers took, those taken again included."""
    longest_delay_seconds: float = 0.0
    """From the sending of an import to its end."""
    duplicates: int = 0
    """Rows beyond those that the imports have."""
    lost: int = 0
    """Rows that imports have and the database lacks, and tasks without a result."""

    def __str__(self) -> str:
        sent = len(self.imports) + len(self.updates)
        return (
            f"messages sent {sent}, faults {sum(self.faults.values())} {dict(self.faults)}, "
            f"redeliveries {max(0, self.received - sent)}, duplicates {self.duplicates}, lost {self.lost}, "
            f"longest delay {self.longest_delay_seconds:.1f} s"
        )


class Soak:
    """One run of it; `seed` makes the load and the order of the faults again, not their moments."""

    def __init__(self, client: Redis, env: dict[str, str], engine: Engine, seed: int) -> None:
        self.client = client
        self.engine = engine
        self.chance = random.Random(seed)  # noqa: S311 - not a secret
        self.tally = Tally()
        self._env = env | {"IBUTSU_TASKS_LEASE_SECONDS": str(LEASE_SECONDS)}
        self.fleet = Fleet(*NAMES, env=self._env, concurrency=2, celery_options=CELERY_OPTIONS)
        self._frozen: list[tuple[float, psutil.Process]] = []

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
                self._mend()
                time.sleep(self.chance.uniform(0.05, 0.3))
            until(self._has_settled, SETTLING_SECONDS)
            self.tally.received = self.fleet.received()
        finally:
            self._thaw(everything=True)
            self.fleet.close()
        return self.tally

    def _send(self) -> None:
        kind = self.chance.choices(("import", "update", "prune", "enqueue"), (6, 3, 0.5, 0.2))[0]
        if kind == "import":
            self._send_import()
        elif kind == "update" and self.tally.cases:
            run_id = str(self.chance.choice(list(self.tally.cases)))
            self.tally.updates.append(self._publish("runs.update_run", json.dumps(run_id)))
        elif kind == "prune":
            self.tally.updates.append(self._publish("db.prune_old_files", "3"))
        elif kind == "enqueue":
            done = run("enqueue", "sync_aborted_runs", env=self._env)
            if done.returncode == 0:
                self.tally.updates.append(done.stdout.split()[-1])

    def _send_import(self) -> None:
        cases = self.chance.choices(list(SIZES), list(SIZES.values()))[0]
        with Session(self.engine, expire_on_commit=False) as session:
            upload = store_upload(session, f"soak-{len(self.tally.imports)}.xml", report(cases))
            session.commit()
            row = session.get_one(Import, upload.import_id)
        self._publish("importers.run_junit_import", import_message(row))
        self.tally.imports[row.id] = time.monotonic()
        self.tally.cases[uuid5(row.id, "run")] = cases

    def _publish(self, task: str, argument: str) -> str:
        task_id, text = message_text(task, argument)
        message, priority = json.loads(text), self.chance.choice(PRIORITY_STEPS)
        message["properties"]["priority"] = priority
        if delay_seconds := self.chance.choice(DELAYS_SECONDS):
            message["headers"]["eta"] = (datetime.now(UTC) + timedelta(seconds=delay_seconds)).isoformat()
        self.client.lpush(redis_list("celery", priority), json.dumps(message))
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
            self._frozen.append((time.monotonic() + FREEZE_SECONDS, main))
        elif way.startswith("stop"):
            for _ in range(1 + (way == "stop twice")):
                self.fleet.main(name).terminate()
        else:
            self.fleet.kill(name, main=way != "kill the pool", children=way != "kill")

    def _thaw(self, *, everything: bool = False) -> None:
        due = [one for one in self._frozen if everything or one[0] < time.monotonic()]
        self._frozen = [one for one in self._frozen if one not in due]
        for _, process in due:
            with suppress(psutil.NoSuchProcess):
                process.resume()

    def _mend(self) -> None:
        self._thaw()
        self.fleet.restart_what_ended()
        self._note_delays()

    def _note_delays(self) -> None:
        now = time.monotonic()
        waiting = [now - self.tally.imports[one] for one in self._unended()]
        self.tally.longest_delay_seconds = max([self.tally.longest_delay_seconds, *waiting])

    def _unended(self) -> list[UUID]:
        with self.engine.connect() as connection:
            query = select(Import.id).where(Import.status.in_(("pending", "running")))
            return [one for one in connection.scalars(query) if one in self.tally.imports]

    def _has_settled(self) -> bool:
        self._mend()
        time.sleep(0.2)
        return not (self._unended() or queue_depth(self.client, "celery") or self.client.hlen(UNACKED))

    def audit(self) -> Iterator[str]:
        """Name everything that is not as it must be."""
        with Session(self.engine) as session:
            for row in session.scalars(select(Import).where(Import.id.in_(self.tally.imports))):
                if row.status != "done":
                    yield f"import {row.id} is {row.status}: {row.data}"
            rows = sum(self.tally.cases.values())
            for model, wanted in ((Run, len(self.tally.imports)), (Result, rows), (Artifact, rows)):
                counted = session.scalar(select(func.count()).select_from(model)) or 0
                self.tally.duplicates += max(0, counted - wanted)
                self.tally.lost += max(0, wanted - counted)
                if counted != wanted:
                    yield f"{counted} rows in {model.__tablename__}, not {wanted}"
            locks = session.scalar(text("select count(*) from pg_locks where locktype = 'advisory'"))
            if locks:
                yield f"{locks} advisory locks are left"
            wrong = [
                run.id
                for run in session.scalars(select(Run))
                if (run.summary or {}).get("tests") != self.tally.cases.get(run.id)
            ]
            if wrong:
                yield f"the summaries of {wrong} are wrong"
        yield from (f"the key {key!r} is left" for key in self._left_keys())
        states = Counter(self._state(task_id) for task_id in self.tally.updates)
        self.tally.lost += states["lost"]
        if states.keys() - {"SUCCESS"}:
            yield f"tasks ended as {dict(states)}"

    def _left_keys(self) -> list[bytes]:
        """Name keys that nobody would remove: those of a holder that is known still, the next worker does."""
        holders = {name.decode() for name in self.client.zrange(HOLDERS, 0, -1)}
        prefixes = (HELD_PREFIX, SLOTS_PREFIX)
        known = {f"{prefix}{holder}".encode() for holder in holders for prefix in prefixes}
        return [key for prefix in prefixes for key in self.client.keys(f"{prefix}*") if key not in known]

    def _state(self, task_id: str) -> str:
        found: dict[str, str] = json.loads(self.client.get(f"celery-task-meta-{task_id}") or b"{}")
        return found.get("status", "lost")
