"""A disk with little room, in memory, and a file that takes up all of it."""

from __future__ import annotations

import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PIECE = bytes(4096)


@contextmanager
def small_disk(directory: Path, megabytes: int) -> Iterator[None]:
    """Have `directory` be a disk of its own; the test is skipped where nothing can be mounted."""
    directory.mkdir(parents=True, mode=0o700)
    words = ("mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0700", "tmpfs", str(directory))
    try:
        done = subprocess.run(words, check=False, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("there is no program `mount`")
    if done.returncode:
        pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")
    try:
        yield
    finally:
        # Lazily: whoever still has a file open there keeps the memory, never the directory.
        subprocess.run(("umount", "--lazy", str(directory)), check=True)


@contextmanager
def filled_up(directory: Path) -> Iterator[None]:
    """Have no room left on the disk of `directory`."""
    ballast = directory / "ballast"
    try:
        with pytest.raises(OSError, match="No space left"):
            _write_without_end(ballast)
        yield
    finally:
        ballast.unlink()


def _write_without_end(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        while True:
            file.write(PIECE)
