"""Work that is lost: its row has not ended, and its message is nowhere. It is sent again, or ended.

A queue that was purged or a broker that came back empty takes messages along, and a worker that acknowledges
early takes one along when it is killed.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from redis.exceptions import LockError

from ibutsu_tasks.broker.layout import LAST_RECONCILIATION, REQUEUE_LOCK
from ibutsu_tasks.clock import utc_now
from ibutsu_tasks.errors import BusyError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from uuid import UUID

    from redis import Redis
    from redis.lock import Lock

    from ibutsu_tasks.broker.whereabouts import Broker

LOCK_SECONDS = 60.0
"""Life of the lock, renewed before each row: far longer than two looks take."""


class Fate(StrEnum):
    """What became of one row."""

    SENT = "sent again"
    ENDED = "ended"
    LEFT = "left alone"


class Message(NamedTuple):
    """What is sent again."""

    task: str
    args: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Decision:
    """What was done about one row, and why, as a sentence."""

    id: UUID
    fate: Fate
    reason: str

    def as_json(self) -> dict[str, str]:
        """Give it as JSON values."""
        return {"id": str(self.id), "fate": self.fate.value, "reason": self.reason}


class Rows(Protocol):
    """The rows that messages of some tasks are about; each message has the row's id, a UUID, in its text."""

    name: str
    """Of all of them, in lower case: `imports`."""

    def open_ids(self, session: Any, age_seconds: float) -> Sequence[UUID]:
        """Find the rows that have not ended and are older than that, the oldest first."""

    def settle(self, session: Any, row_id: UUID, *, by_hand: bool) -> tuple[Decision, Message | None]:
        """Make a row whose message is nowhere say what happens to it; give what is sent after the commit.

        `by_hand`, somebody named it: then also one that has failed is sent, however often it was.
        """


@dataclass(frozen=True, slots=True)
class Reconciler:
    """Sends lost work again. `session` begins a transaction, `send` publishes a message."""

    rows: Rows
    session: Callable[[], AbstractContextManager[Any]]
    broker: Broker
    send: Callable[[Message], object]
    dry_run: bool = False

    def requeue_stuck(self, age_seconds: float) -> list[Decision]:
        """Decide on every row that has not ended and is older than `age_seconds`.

        Raises BusyError while another does so, and what the broker's and the database's drivers raise.
        """
        with self.session() as session:
            stuck = self.rows.open_ids(session, age_seconds)
        decisions = self._decide(stuck, by_hand=False) if stuck else []
        self.broker.client.set(LAST_RECONCILIATION.format(self.rows.name), utc_now().isoformat())
        return decisions

    def requeue(self, row_ids: Sequence[UUID]) -> list[Decision]:
        """Decide on these rows, also on those that failed. Raises as `requeue_stuck` does."""
        return self._decide(row_ids, by_hand=True)

    def _decide(self, row_ids: Sequence[UUID], *, by_hand: bool) -> list[Decision]:
        with _one_at_a_time(self.broker.client, self.rows.name) as lock:
            where = self.broker.find(row_ids)
            decisions = []
            for row_id in row_ids:
                if row_id in where.found:
                    decisions.append(Decision(row_id, Fate.LEFT, f"{where.found[row_id]}."))
                elif where.silent_workers:
                    decisions.append(Decision(row_id, Fate.LEFT, _silence(where.silent_workers)))
                else:
                    lock.reacquire()
                    decisions.append(self._settle(row_id, by_hand=by_hand))
        return decisions

    def _settle(self, row_id: UUID, *, by_hand: bool) -> Decision:
        with self.session() as session:
            decision, message = self.rows.settle(session, row_id, by_hand=by_hand)
            if self.dry_run:
                session.rollback()
        if message is not None and not self.dry_run:
            self.send(message)
        return decision


def _silence(workers: int) -> str:
    who = "a worker does" if workers == 1 else f"{workers} workers do"
    return f"{who} not answer, and may be at it."


@contextmanager
def _one_at_a_time(client: Redis, name: str) -> Iterator[Lock]:
    lock = client.lock(REQUEUE_LOCK.format(name), timeout=LOCK_SECONDS, blocking=False)
    if not lock.acquire():
        raise BusyError(f"Lost {name} are being looked for right now.", "Try again in a moment.")
    try:
        yield lock
    except LockError:
        raise BusyError(f"The lock was lost while {name} were sent again.", "Try again.") from None
    finally:
        if lock.owned():
            lock.release()
