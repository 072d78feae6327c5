"""Kernel locks that say who uses the servers; the kernel drops them however a process dies.

`start.lock` is held while servers are started or stopped, `lease.lock` is shared by everyone who uses
them. Descriptors are not inherited by started programs, so only the process itself is the holder.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ibutsu_tasks.errors import LocalServersError
from ibutsu_tasks.local.processes import wait_until
from ibutsu_tasks.own_files import open_own

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# One start creates the cluster in seconds; a slow disk may take a minute, and the next one waits for it.
LOCK_TIMEOUT_SECONDS = 120.0


@contextmanager
def start_lock(data_dir: Path) -> Iterator[None]:
    """Be the only one who starts or stops the servers of `data_dir`.

    Raises LocalServersError when another process holds it for longer than LOCK_TIMEOUT_SECONDS.
    """
    descriptor = open_own(data_dir / "start.lock", os.O_RDWR | os.O_CREAT)
    try:
        if not wait_until(lambda: _try_lock(descriptor, fcntl.LOCK_EX), LOCK_TIMEOUT_SECONDS):
            raise LocalServersError(
                f"Another process has been starting or stopping the servers of {data_dir} "
                f"for more than {LOCK_TIMEOUT_SECONDS:.0f} seconds.",
                f"Find it with `fuser {data_dir / 'start.lock'}` and end it.",
            )
        yield
    finally:
        os.close(descriptor)


class Lease:
    """A share in the servers of one data directory. Take and give it up only under the start lock."""

    def __init__(self, data_dir: Path) -> None:
        self._descriptor = open_own(data_dir / "lease.lock", os.O_RDWR | os.O_CREAT)

    def is_only_one(self) -> bool:
        """Tell whether nobody else uses the servers; on True the lease is exclusive until `take`."""
        return _try_lock(self._descriptor, fcntl.LOCK_EX)

    def take(self) -> None:
        """Use the servers from now on."""
        fcntl.flock(self._descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)

    def close(self) -> None:
        """Stop using the servers."""
        os.close(self._descriptor)


def _try_lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
