"""The note of which role processes a stack has started, and the end of those it left behind."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from ibutsu_tasks.local.processes import ProcessMark, end_sessions

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

NOTE_NAME = "roles.json"

# As long as a worker is given for its tasks when a stack is stopped in order.
END_TIMEOUT_SECONDS = 5.0


def note_roles(data_dir: Path, owner: ProcessMark, roles: Iterable[ProcessMark]) -> None:
    """Write down that `owner` has started `roles`."""
    note = {"owner": asdict(owner), "roles": [asdict(role) for role in roles]}
    draft = data_dir / f"{NOTE_NAME}.new"
    draft.write_text(json.dumps(note), encoding="utf-8")
    draft.replace(data_dir / NOTE_NAME)


def forget_roles(data_dir: Path) -> None:
    """Remove the note: nothing is left to end."""
    (data_dir / NOTE_NAME).unlink(missing_ok=True)


def end_leftover_roles(data_dir: Path, owner: ProcessMark | None = None) -> int:
    """End the roles a dead stack has left, `owner`'s alone when given; give how many still ran.

    Nothing is done while the stack that started them lives.
    """
    noted = _read_note(data_dir)
    if noted is None or noted[0].process() or owner not in {None, noted[0]}:
        return 0
    running = [role for role in noted[1] if role.session()]
    end_sessions(running, END_TIMEOUT_SECONDS)
    return len(running)


def _read_note(data_dir: Path) -> tuple[ProcessMark, list[ProcessMark]] | None:
    try:
        note = json.loads((data_dir / NOTE_NAME).read_text(encoding="utf-8"))
        return ProcessMark(**note["owner"]), [ProcessMark(**role) for role in note["roles"]]
    except (OSError, ValueError, TypeError, KeyError):
        return None
