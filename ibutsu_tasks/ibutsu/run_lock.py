"""The lock of a run, shared with the workers of an unmodified Ibutsu server, and the note of what waits."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING
from uuid import uuid4

from redis.exceptions import LockError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis import Redis

LOCK_TTL_SECONDS = 300
"""The Ibutsu server's own figure: a crashed worker blocks its run for minutes, not for ever."""

NOTE_TTL_SECONDS = 86_400
"""A day: a note must outlive the holder it waits for, and the broker's visibility time-out of an hour, after
which a message comes again whose whole worker died."""

QUIET_SECONDS = 1.0
"""Changes closer together than this are one burst; its last pass waits until they have ended."""

LONGEST_WAIT_SECONDS = 10.0
"""A burst that does not end is looked at this often."""

# Twice the longest wait: the first half is for waiting, the second for a worker that takes its time.
_RECHECK_TTL_MILLISECONDS = round(2 * LONGEST_WAIT_SECONDS * 1000)

_DELETE_IF_EQUAL = """
if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end
return 0
"""


class RunLock:
    """The lock `update-run-lock-<run id>`, and the note that a run changed while it was held.

    Whoever wants a run recomputed writes a note first. The holder reads the note, recomputes, and takes
    the note away only if nobody has written a newer one meanwhile, so the last state always wins and a
    killed holder leaves its note behind. After a pass, one message at a time is out to look again once
    the run has been quiet: a burst of any number of requests costs two passes, however long one takes.
    """

    def __init__(self, client: Redis, run_id: str) -> None:
        self._client = client
        self._lock = client.lock(f"update-run-lock-{run_id}", timeout=LOCK_TTL_SECONDS)
        self._note_key = f"ibutsu-tasks:run-changed:{run_id}"
        self._recheck_key = f"ibutsu-tasks:run-recheck:{run_id}"
        self._pass_key = f"ibutsu-tasks:run-pass:{run_id}"

    def write_note(self) -> None:
        """Say that the run changed."""
        self._client.set(self._note_key, uuid4().hex, ex=NOTE_TTL_SECONDS)

    def begin_pass(self) -> bytes | None:
        """Give the newest note; None when nothing changed since the last pass began."""
        note = self._client.get(self._note_key)
        if note is not None:
            self._client.set(self._pass_key, 1, px=round(QUIET_SECONDS * 1000))
        return note.encode() if isinstance(note, str) else note

    def settle_note(self, note: bytes) -> bool:
        """Take `note` away after a pass that began with it; False when a newer one has replaced it."""
        was_deleted = self._client.eval(_DELETE_IF_EQUAL, 1, self._note_key, note)
        return bool(was_deleted) or not self._client.exists(self._note_key)

    def undo_pass(self) -> None:
        """Take back that a pass began: it came to nothing, and whoever tries it again is not early."""
        self._client.delete(self._pass_key)

    def is_in_burst(self) -> bool:
        """Say whether a pass began a moment ago, or a message is out to look again."""
        return bool(self._client.exists(self._pass_key, self._recheck_key))

    def claim_recheck(self, message_id: str) -> bool:
        """Say whether the caller is to send the message that looks again; one message at a time has it sent.

        A message that is run again because its worker died, or the broker failed, before it was sent has it
        sent once more.
        """
        if self._client.set(self._recheck_key, message_id, nx=True, px=_RECHECK_TTL_MILLISECONDS):
            return True
        return bool(self._client.get(self._recheck_key) == message_id.encode())

    def must_wait_longer(self) -> bool:
        """Say whether who looks again comes too early: the run changed a moment ago, and not for long."""
        note_left, recheck_left = self._client.pttl(self._note_key), self._client.pttl(self._recheck_key)
        is_fresh = NOTE_TTL_SECONDS * 1000 - note_left < QUIET_SECONDS * 1000
        return note_left > 0 and is_fresh and recheck_left > _RECHECK_TTL_MILLISECONDS / 2

    def end_recheck(self) -> None:
        """Let the next one who finds the run in a burst send the message that looks again."""
        self._client.delete(self._recheck_key)

    @contextmanager
    def try_hold(self, message_id: str) -> Iterator[bool]:
        """Take the lock if it is free; yield whether it was.

        A message that is run again because its worker died finds the lock as it left it, and takes it over.
        """
        held = self._acquire(message_id) or (self._free(message_id) and self._acquire(message_id))
        try:
            yield held
        finally:
            if held:
                # It may have expired under a pass longer than its life, and may be somebody else's now.
                with suppress(LockError):
                    self._lock.release()

    def _acquire(self, message_id: str) -> bool:
        return bool(self._lock.acquire(blocking=False, token=message_id))

    def _free(self, message_id: str) -> bool:
        return bool(self._client.eval(_DELETE_IF_EQUAL, 1, self._lock.name, message_id))
