"""The one directory that roles and commands write to: heartbeats, and what is too large for memory."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from ibutsu_tasks.errors import SettingsError

if TYPE_CHECKING:
    from pathlib import Path


def problem_of(directory: Path | None) -> str:
    """Say why `directory` cannot be used; empty when it can, or none is named."""
    # Asked first: what may not be looked at, or has too long a name, is an error of `is_dir`.
    if directory is None or (os.access(directory, os.W_OK | os.X_OK) and directory.is_dir()):
        return ""
    return f"IBUTSU_TASKS_SCRATCH_DIR names {directory}, which is no directory that can be written."


def use_scratch(directory: Path | None) -> None:
    """Have the temporary files of this process and its children lie in `directory`; None changes nothing.

    Raises SettingsError when it cannot be written.
    """
    if problem := problem_of(directory):
        raise SettingsError(problem, "Name one that can, or mount one there.")
    if directory is None:
        return
    os.environ["TMPDIR"] = str(directory)
    if tempfile := sys.modules.get("tempfile"):
        # It reads the variable once, and may have.
        vars(tempfile)["tempdir"] = None
