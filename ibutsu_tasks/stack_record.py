"""Where a running local stack writes its addresses, so that every other command finds it.

`ibutsu-tasks up` holds an exclusive lock on `stack.lock` for as long as it lives and keeps
`stack.json` beside it. The kernel drops the lock when the process dies, however it dies, so a record
without a held lock is a leftover and never believed.
"""

from __future__ import annotations

import fcntl
import json
import os
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from ibutsu_tasks.errors import LocalServersError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LOCK_NAME = "stack.lock"
RECORD_NAME = "stack.json"


@dataclass(frozen=True, slots=True)
class StackRecord:
    """What the other commands know of a running stack."""

    pid: int
    broker_url: str
    database_url: str
    flower_url: str | None = None
    flower_basic_auth: str | None = None


@contextmanager
def hold_stack_lock(data_dir: Path) -> Iterator[None]:
    """Be the one stack on `data_dir` until the block ends.

    Raises LocalServersError, naming what the other stack serves, when there is one.
    """
    descriptor = os.open(data_dir / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LocalServersError(_already_running(data_dir)) from None
        # What a killed stack wrote must not be taken for ours while we start.
        remove_record(data_dir)
        yield
    finally:
        os.close(descriptor)


def write_record(data_dir: Path, record: StackRecord) -> None:
    """Publish `record`, readable by this user alone, in one step."""
    draft = data_dir / f"{RECORD_NAME}.new"
    draft.touch(mode=0o600)
    draft.write_text(json.dumps(asdict(record)), encoding="utf-8")
    draft.replace(data_dir / RECORD_NAME)


def remove_record(data_dir: Path) -> None:
    """Take the addresses back: nothing new should start on a stack that is ending."""
    (data_dir / RECORD_NAME).unlink(missing_ok=True)


def read_record(data_dir: Path) -> StackRecord | None:
    """Give the addresses of the stack that runs on `data_dir` now, or None."""
    if not _is_lock_held(data_dir / LOCK_NAME):
        return None
    return _load(data_dir / RECORD_NAME)


def _is_lock_held(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _load(path: Path) -> StackRecord | None:
    try:
        return StackRecord(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _already_running(data_dir: Path) -> str:
    record = _load(data_dir / RECORD_NAME)
    if record is None:
        return f"Another `ibutsu-tasks up` is starting on {data_dir}."
    flower = f", Flower at {record.flower_url}" if record.flower_url else ""
    return f"A stack already runs on {data_dir} (process {record.pid}{flower})."
