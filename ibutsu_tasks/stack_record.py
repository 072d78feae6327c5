"""Where a running local stack writes its addresses, so that every other command finds it.

`ibutsu-tasks up` holds an exclusive lock on `stack.lock` for as long as it lives and keeps
`stack.json` beside it. The kernel drops the lock when the process dies, however it dies, so a record
without a held lock is a leftover and never believed. Nor is one that others could have written.
"""

from __future__ import annotations

import fcntl
import json
import os
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from ibutsu_tasks.errors import LocalServersError
from ibutsu_tasks.own_files import NotOurOwnError, check_own_directory, open_own, read_own, write_own

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

    Raises LocalServersError, naming what the other stack serves, when there is one, and OSError for a lock
    that is not our own.
    """
    descriptor = open_own(data_dir / LOCK_NAME, os.O_RDWR | os.O_CREAT)
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
    write_own(data_dir / RECORD_NAME, json.dumps(asdict(record)))


def remove_record(data_dir: Path) -> None:
    """Take the addresses back: nothing new should start on a stack that is ending."""
    (data_dir / RECORD_NAME).unlink(missing_ok=True)


def read_record(data_dir: Path) -> StackRecord | None:
    """Give the addresses of this user's stack that runs on `data_dir` now, or None."""
    return _load(data_dir / RECORD_NAME) if is_running(data_dir) and not why_foreign(data_dir) else None


def is_running(data_dir: Path) -> bool:
    """Tell whether somebody's stack runs on `data_dir` now."""
    try:
        descriptor = os.open(data_dir / LOCK_NAME, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def check_data_directory(data_dir: Path) -> None:
    """Check that `data_dir` and its files are this user's own. Raises NotOurOwnError and OSError."""
    # PostgreSQL's data may be those of another account, which root runs it as.
    check_own_directory(data_dir, but=("postgresql", "postgresql.new"))


def why_foreign(data_dir: Path) -> str:
    """Say what keeps the record of `data_dir` from being believed; empty when it is this user's own."""
    try:
        check_data_directory(data_dir)
    except NotOurOwnError as error:
        return f"{error.filename} {error.strerror}"
    except OSError as error:
        return f"{data_dir} cannot be read ({error.strerror})"
    return ""


def _load(path: Path) -> StackRecord | None:
    try:
        record = StackRecord(**json.loads(read_own(path)))
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    values: dict[str, object] = asdict(record)
    is_sound = isinstance(values.pop("pid"), int) and all(
        isinstance(one, str | None) for one in values.values()
    )
    return record if is_sound else None


def _already_running(data_dir: Path) -> str:
    record = _load(data_dir / RECORD_NAME)
    if record is None:
        return f"Another `ibutsu-tasks up` is starting or stopping on {data_dir}."
    flower = f", Flower at {record.flower_url}" if record.flower_url else ""
    return f"A stack already runs on {data_dir} (process {record.pid}{flower})."
