"""Files used only while they are this user's own and nobody else may write them; no link is followed.

Without a home the data directory lies in the place for temporary files, where anybody may put one first.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from errno import EPERM
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

BELONGS = "belongs to another user"
MOST_CHARACTERS = 1_000_000
OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH


class NotOurOwnError(PermissionError):
    """A file or directory is another user's, or others may write to it, or it is not what it should be."""

    def __init__(self, path: Path | str, reason: str) -> None:
        super().__init__(EPERM, reason, str(path))


def check_own_directory(directory: Path | str, but: Collection[str] = ()) -> None:
    """Check that `directory` and what lies directly in it, those named in `but` apart, are our own.

    It may be a link of our own, and nothing in it may be one. Raises NotOurOwnError, and another OSError
    when it is not there.
    """
    if os.lstat(directory).st_uid != os.geteuid():
        raise NotOurOwnError(directory, BELONGS)
    _check(os.stat(directory), directory)
    for name in set(os.listdir(directory)).difference(but):
        path = os.path.join(directory, name)
        # A draft is renamed meanwhile.
        with suppress(FileNotFoundError):
            _check(os.lstat(path), path)


def open_own(path: Path | str, flags: int) -> int:
    """Open a regular file, made (0600) with O_CREAT; give its descriptor.

    Raises NotOurOwnError, and OSError for a link or for what cannot be opened.
    """
    # A FIFO put there would keep us waiting.
    descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise NotOurOwnError(path, "is no regular file")
        _check(status, path)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def read_own(path: Path | str) -> str:
    """Give the text of a file of our own, its beginning where it is none that we would write.

    Raises OSError and UnicodeDecodeError.
    """
    with open(open_own(path, os.O_RDONLY), encoding="utf-8") as file:
        return file.read(MOST_CHARACTERS)


def write_own(path: Path | str, text: str) -> None:
    """Write a file, readable by this user alone, in one step. Raises OSError."""
    draft = f"{path}.new"
    # What a killed writer left, or a link that somebody put there: the name goes, not what it leads to.
    with suppress(FileNotFoundError):
        os.unlink(draft)
    with open(open_own(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL), "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(draft, path)


def _check(status: os.stat_result, path: Path | str) -> None:
    if stat.S_ISLNK(status.st_mode):
        raise NotOurOwnError(path, "is a link")
    if status.st_uid != os.geteuid():
        raise NotOurOwnError(path, BELONGS)
    if status.st_mode & OTHERS_MAY_WRITE:
        raise NotOurOwnError(path, "may be written by others")
