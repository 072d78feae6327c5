"""The lock of a run, shared with the workers of an unmodified Ibutsu server, and the note of what waits."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING
from uuid import uuid4

from redis.exceptions import LockError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis import Redis

LOCK_TTL_SECONDS = 300
"""The Ibutsu server's own figure: a crashed worker blocks its run for minutes, not for ever."""

NOTE_TTL_SECONDS = 3600
"""Longer than any lock lives, so that a note outlives the holder it waits for."""

RECHECK_SECONDS = 5
"""How soon a busy run is looked at again, in case its holder is a stock worker that reads no notes."""

_DELETE_IF_EQUAL = (
    "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end return 0"
)


class RunLock:
    """The lock `update-run-lock-<run id>`, and the note that a run changed while it was held.

    Whoever wants a run recomputed writes a note first. The holder reads the note, recomputes, and takes
    the note away only if nobody has written a newer one meanwhile, so the last state always wins, any
    number of concurrent requests cost at most two passes, and a killed holder leaves its note behind.
    """

    def __init__(self, client: Redis, run_id: str) -> None:
        self._client = client
        self._lock = client.lock(f"update-run-lock-{run_id}", timeout=LOCK_TTL_SECONDS)
        self._note_key = f"ibutsu-tasks:run-changed:{run_id}"
        self._recheck_key = f"ibutsu-tasks:run-recheck:{run_id}"

    def write_note(self) -> None:
        """Say that the run changed."""
        self._client.set(self._note_key, uuid4().hex, ex=NOTE_TTL_SECONDS)

    def read_note(self) -> bytes | None:
        """Give the newest note; None when nothing changed since the last pass began."""
        note = self._client.get(self._note_key)
        return note.encode() if isinstance(note, str) else note

    def settle_note(self, note: bytes) -> None:
        """Take `note` away after a pass that began with it, unless a newer one replaced it."""
        self._client.eval(_DELETE_IF_EQUAL, 1, self._note_key, note)

    def claim_recheck(self) -> bool:
        """Say whether the caller is to come back after `RECHECK_SECONDS`; one caller at a time is."""
        return bool(self._client.set(self._recheck_key, 1, nx=True, ex=2 * RECHECK_SECONDS))

    def end_recheck(self) -> None:
        """Come back: the next one who finds the run busy may be told to."""
        self._client.delete(self._recheck_key)

    @contextmanager
    def try_hold(self) -> Iterator[bool]:
        """Take the lock if it is free; yield whether it was."""
        held = self._lock.acquire(blocking=False)
        try:
            yield held
        finally:
            if held:
                self._release()

    def _release(self) -> None:
        try:
            self._lock.release()
        except LockError:
            # It expired under a pass longer than its life, and may be somebody else's now.
            return
