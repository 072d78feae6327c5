"""How `up` looks where logs are JSON: its own lines are objects, and those of its roles pass through."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from ibutsu_tasks.logs.streams import pass_on, say

if TYPE_CHECKING:
    from pathlib import Path

    from ibutsu_tasks.stack_record import StackRecord


class StackLog:
    """Writes what the stack and its roles say, for machines."""

    def say(self, sentence: str) -> None:
        """Write a sentence of `up` itself."""
        say("info", sentence)

    def show_line(self, role: str, line: str) -> None:
        """Write a line of a role's output, made an object when it is none: the last words of a crash."""
        if _is_object(line):
            pass_on(line)
        elif line:
            say("error", line, "stderr", role=role)

    def show_ready(self, record: StackRecord, data_dir: Path, *, seconds: float, is_default: bool) -> None:  # noqa: ARG002 - for people
        """Write what runs where, without the password of Flower."""
        say("info", f"ready in {seconds:.1f} s", data_dir=str(data_dir), flower_url=record.flower_url)


def _is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False
