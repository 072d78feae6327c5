"""The heartbeat of a process that lives on: one small file of its own, written by its loop.

The files lie in a private directory, which is made inside one that may be anybody's, such as `/tmp` or a
volume of a container. Whoever reads one needs the standard library alone: a probe runs every few seconds.
"""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from ibutsu_tasks.own_files import NotOurOwnError, check_own_directory, read_own, write_own

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

VARIABLE = "IBUTSU_TASKS_SCRATCH_DIR"

ROLES = ("worker", "beat", "flower")

SUFFIX = ".json"

FORGOTTEN_SECONDS = 3600.0
"""The file of a process that wrote nothing for so long is removed by the next of its role."""


class Heartbeat(NamedTuple):
    """What a process says of itself. Moments are seconds of the clock that no change of the time moves."""

    role: str
    node: str
    host: str
    pid: int
    started_at: str
    written_at: str
    """For people, ISO 8601 in UTC."""
    written: float
    ticked: float
    """When its loop last turned."""
    busy: str = ""
    """Why its loop may stand still, as the end of a sentence; empty when it may not."""
    hindrance: str = ""
    """What keeps it from doing its work, as a sentence's second half; empty when it is ready."""
    was_ready: bool = False
    is_connected: bool | None = None
    """Whether it has a connection to the broker; None where the role does not tell."""
    queues: Sequence[str] = ()
    running: int = 0
    """How many tasks it runs."""
    held: int = 0
    """How many more it has taken and runs as soon as a process is free; messages for later are none."""


def host_name() -> str:
    """Give the name of this host; the module `socket` would cost a probe a tenth of its time."""
    return os.uname().nodename


def private_directory(parent: str | Path | None) -> str:
    """Give this user's directory of heartbeats, in `parent` or in the place for temporary files."""
    base = str(parent or os.environ.get("TMPDIR") or "/tmp")  # noqa: S108 - the directory in it is checked
    return os.path.join(os.path.abspath(os.path.expanduser(base)), f"ibutsu-tasks-heartbeats-{os.geteuid()}")


def path_of(directory: str, role: str, host: str, pid: int) -> str:
    """Give the path of a process's file. In containers every process is the first, and hosts differ."""
    return os.path.join(directory, f"{role}.{host}.{pid}{SUFFIX}")


def write(heartbeat: Heartbeat, directory: str) -> None:
    """Write a heartbeat in one step, and its directory when it is not there. Raises OSError."""
    with suppress(FileExistsError):
        os.mkdir(directory, 0o700)
    check_own_directory(directory)
    path = path_of(directory, heartbeat.role, heartbeat.host, heartbeat.pid)
    write_own(path, json.dumps(heartbeat._asdict()))


def read_all(directory: str) -> list[Heartbeat]:
    """Give the heartbeats there are; none when nobody wrote any. Raises OSError."""
    try:
        check_own_directory(directory)
    except FileNotFoundError:
        return []
    names = sorted(name for name in os.listdir(directory) if name.endswith(SUFFIX))
    found = [_read(os.path.join(directory, name)) for name in names]
    return [heartbeat for heartbeat in found if heartbeat]


def remove_left(role: str, directory: str) -> None:
    """Remove the files of processes of this role and host that are gone."""
    with suppress(OSError):
        for heartbeat in read_all(directory):
            if heartbeat.role == role and heartbeat.host == host_name() and _is_left(heartbeat):
                os.unlink(path_of(directory, role, heartbeat.host, heartbeat.pid))


def is_gone(heartbeat: Heartbeat) -> bool:
    """Tell whether the process is certainly gone: nobody of this host has its number."""
    if heartbeat.host != host_name():
        return False
    try:
        os.kill(heartbeat.pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def _is_left(heartbeat: Heartbeat) -> bool:
    # A number is given to another process one day, and the clock begins anew with the machine.
    return is_gone(heartbeat) or not 0 <= time.monotonic() - heartbeat.written < FORGOTTEN_SECONDS


def _read(path: str) -> Heartbeat | None:
    """Read one; None for what has been removed meanwhile, or was written by another version."""
    try:
        fields = json.loads(read_own(path))
        return Heartbeat(**{name: fields[name] for name in Heartbeat._fields if name in fields})
    except NotOurOwnError:
        raise
    except (OSError, ValueError, TypeError):
        return None
