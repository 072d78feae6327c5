"""The run of an archive that `prune` wrote, back in its place."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from sqlalchemy import Text, cast, literal, null, update
from sqlalchemy.dialects.postgresql import JSONB

from ibutsu_tasks.database.copying import table_of
from ibutsu_tasks.database.models import Project, Run
from ibutsu_tasks.importers.parsed import JsonText
from ibutsu_tasks.importers.values import count
from ibutsu_tasks.operations import run_summary
from ibutsu_tasks.operations.imports.run_row import data_before, deep_merge

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy.orm import Session

    from ibutsu_tasks.importers.parsed import ArchivedRun, Columns
    from ibutsu_tasks.operations.imports.references import References

RUNS = table_of(Run)
JSON_COLUMNS = ("data", "summary")


def restore(
    session: Session, run: Run, archived: ArchivedRun, chosen_project_id: UUID | None, references: References
) -> None:
    """Write the row of a run that the import has just made, as it was when it was archived.

    Its summary is not counted anew: results may have been deleted long before the run was.
    """
    project_id = chosen_project_id or references.check(Project, archived.columns["project_id"])
    _write(session, run, {**archived.columns, "project_id": project_id})


def merge(
    session: Session, run: Run, archived: ArchivedRun, chosen_project_id: UUID | None, references: References
) -> bool:
    """Lay an archived run over one that is there; say whether its summary is to be counted anew.

    Of a whole run the archive wins, and what it lacks stays. A run that was only archived along with some
    of its results or artifacts has lived on since, and stays as it is.
    """
    columns = archived.columns
    if not archived.is_whole:
        return bool(run.summary != _value(columns["summary"]))
    project_id = chosen_project_id or references.check(Project, columns["project_id"])
    stated = {**columns, "project_id": project_id, "data": deep_merge(data_before(run), columns["data"])}
    _write(session, run, {name: value for name, value in stated.items() if value is not None})
    # Results deleted before the run was are in its summary, whether or not they came back already.
    known = max(archived.results, _tests(columns["summary"]))
    return run_summary.count_results(session, run.id).counts["tests"] > known


def _tests(summary: Any) -> int:
    return count(summary.get("tests")) or 0 if isinstance(summary, dict) else 0


def _value(column: Any) -> Any:
    try:
        return json.loads(column) if isinstance(column, JsonText) else column
    except (ValueError, RecursionError):
        return column


def _write(session: Session, run: Run, columns: Columns) -> None:
    values: dict[str, Any] = {name: value for name, value in columns.items() if name != "id"}
    for name in JSON_COLUMNS:
        if name in values:
            values[name] = _json_value(values[name])
    session.execute(
        update(Run).where(Run.id == run.id).values(values), execution_options={"synchronize_session": False}
    )
    session.refresh(run)


def _json_value(value: Any) -> Any:
    if value is None:
        return null()
    return cast(literal(str(value), Text), JSONB) if isinstance(value, JsonText) else value
