"""PostgreSQL's own directory below a data directory: whether it is ours, and closed to others."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from ibutsu_tasks.errors import LocalServersError

if TYPE_CHECKING:
    from pathlib import Path

MODES = frozenset({0o700, 0o750})
"""PostgreSQL starts on a directory with one of these alone."""

MARK = "PG_VERSION"


def has_cluster(directory: Path) -> bool:
    """Tell whether PostgreSQL's data were created here before."""
    return (directory / MARK).exists()


def restore_mode(directory: Path) -> None:
    """Give a cluster of ours the mode 0700 back when something has changed it.

    Raises LocalServersError when it cannot be entered even so.
    """
    try:
        mode = stat.S_IMODE(directory.stat().st_mode)
        is_closed = not os.access(directory, os.R_OK | os.W_OK | os.X_OK)
        if is_closed or (mode not in MODES and has_cluster(directory)):
            directory.chmod(0o700)
    except FileNotFoundError:
        return
    except OSError as error:
        raise LocalServersError(
            f"{directory} cannot be used: {error.strerror}.",
            "Give it back to this user with `chown -R`, or choose another --data-dir.",
        ) from None


def check_is_ours(directory: Path) -> None:
    """Raise LocalServersError for what is no PostgreSQL data and not empty: somebody else's, or damaged."""
    if directory.is_dir() and (has_cluster(directory) or not any(directory.iterdir())):
        return
    what = "holds files but no PG_VERSION" if directory.is_dir() else "is no directory"
    raise LocalServersError(
        f"{directory} {what}, so it is no PostgreSQL data that this program would touch.",
        "Move it away or restore it, or choose another --data-dir.",
    )
