"""Whose the rows are whose ids a file states: what another project or run has stays as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ibutsu_tasks.ibutsu.importers.findings import shown

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from sqlalchemy import Row

    from ibutsu_tasks.ibutsu.database.models import Run

MAX_NAMES = 20
"""How many rows a sentence names; the others it counts."""


class ForeignRowsError(Exception):
    """Ids that a file states are those of somebody else's rows; the message says whose and which."""


class Differing:
    """Results of a file that are there already and ended otherwise."""

    def __init__(self) -> None:
        self._count = 0
        self._names: list[str] = []

    def note(self, row: Row[Any], outcome: str) -> None:
        """Compare a result that is there, with `test_id` and `result`, with how that of the file ended."""
        before = row.result or ""
        if before != outcome:
            self._count += 1
            if len(self._names) < MAX_NAMES:
                name = shown(row.test_id or str(row.id))
                self._names.append(f"{name} ({shown(before)} before, {shown(outcome)} in this file)")

    def sentence(self, *, are_kept: bool) -> str | None:
        """Say which they are, and whether they were kept or replaced; None when there are none."""
        if not self._count:
            return None
        became = "kept as they were" if are_kept else "replaced"
        return f"Results that an earlier upload brought were {became}: {_listed(self._names, self._count)}."


def refuse_foreign_run(run: Run, project_id: UUID | None) -> None:
    """Raise `ForeignRowsError` when a run that is there belongs to another project than a file."""
    if None not in (run.project_id, project_id) and run.project_id != project_id:
        raise ForeignRowsError(f"Another project has the run {run.id}")


def refuse_foreign(elsewhere: Sequence[Row[Any]], project_id: UUID | None, *, may_move: bool) -> None:
    """Raise `ForeignRowsError` when results of other runs are not the file's to take.

    The rows have `project_id` and `run_project_id`. Those that may move do so within a project, and when
    either project is not known.
    """
    others = [row.id for row in elsewhere if not may_move or _is_of_another(row, project_id)]
    if others:
        whose = "Another project" if may_move else "Another run"
        raise ForeignRowsError(f"{whose} has the results {_listed(others[:MAX_NAMES], len(others))}")


def _is_of_another(row: Row[Any], project_id: UUID | None) -> bool:
    return project_id is not None and not {row.project_id, row.run_project_id} <= {None, project_id}


def _listed(names: Sequence[object], count: int) -> str:
    more = f" and {count - len(names):,} more" if count > len(names) else ""
    return ", ".join(map(str, names)) + more
