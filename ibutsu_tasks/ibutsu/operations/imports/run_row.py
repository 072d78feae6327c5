"""The row of the run that an import writes: made or found, then completed from the file."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from sqlalchemy import Text, cast, literal, null, update
from sqlalchemy.dialects.postgresql import JSONB, insert

from ibutsu_tasks.clock import utc_now
from ibutsu_tasks.errors import BusyError
from ibutsu_tasks.ibutsu.database.models import Result, Run
from ibutsu_tasks.ibutsu.importers.parsed import JsonText
from ibutsu_tasks.ibutsu.importers.values import count
from ibutsu_tasks.ibutsu.operations import run_summary
from ibutsu_tasks.ibutsu.operations.imports.records import PARTIAL
from ibutsu_tasks.text.storable import storable_json, storable_text

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy.orm import Session

    from ibutsu_tasks.ibutsu.importers.parsed import ArchivedRun, Columns, ParsedRun
    from ibutsu_tasks.ibutsu.operations.imports.columns import References, RowTarget

MAX_TRIES = 5

JSON_COLUMNS = ("data", "summary")


def make_or_find(session: Session, parsed: ParsedRun, project_id: UUID | None) -> tuple[Run, bool]:
    """Give the run with the file's id, locked, and whether it was there before.

    Waits for another import that is making the same run. Raises BusyError when it comes and goes meanwhile.
    """
    now = utc_now()
    columns = {
        "id": parsed.id,
        "project_id": project_id,
        "start_time": parsed.start_time or now,
        "created": now,
    }
    new = insert(Run).values(**columns, data={}, summary={}).on_conflict_do_nothing(index_elements=[Run.id])
    for _ in range(MAX_TRIES):
        if (made := session.scalar(new.returning(Run))) is not None:
            return made, False
        if (run := session.get(Run, parsed.id, with_for_update=True, populate_existing=True)) is not None:
            return run, True
        # Deleted between the two statements.
    raise BusyError(f"The run {parsed.id} is made and deleted at this very moment.", "Try again later.")


def finish(
    session: Session,
    run: Run,
    parsed: ParsedRun,
    project_id: UUID | None,
    assumed_start: datetime | None,
    partial: str | None = None,
) -> None:
    """Fill in the run from the file, now read to its end or to where it breaks, and count the results.

    What the file does not say stays; metadata is merged deeply, and the file wins. `assumed_start` is what a
    new run's results that state no start have for one. `partial` is the sentence
    of a file that breaks; that of an import before is dropped.
    """
    if parsed.start_time is not None:
        run.start_time = parsed.start_time
        if assumed_start not in (None, parsed.start_time):
            # A file may say only after its first results when it began.
            assumed = update(Result).where(Result.run_id == run.id, Result.start_time == assumed_start)
            session.execute(assumed.values(start_time=parsed.start_time))
    for column, text in (("env", parsed.env), ("component", parsed.component), ("source", parsed.source)):
        if text:
            setattr(run, column, storable_text(text))
    if project_id is not None and project_id != run.project_id:
        run.project_id = project_id
        # A file may name its project only after its first results.
        without = update(Result).where(Result.run_id == run.id, Result.project_id.is_(None))
        session.execute(without.values(project_id=project_id))
    sentence = {} if partial is None else {PARTIAL: partial}
    run.data = storable_json(_deep_merge(_data_before(run), parsed.data) | sentence)
    # Flushed in between, the run would be written twice, into fourteen indexes each time.
    with session.no_autoflush:
        _summarize(session, run, parsed)
    session.flush()


def restore(
    session: Session, run: Run, archived: ArchivedRun, target: RowTarget, references: References
) -> bool:
    """Write the row of an archived run; say whether it has its right summary with that.

    A run that the import has just made becomes what it was when it was archived; its summary is not counted
    anew, for results may have been deleted long before it was. Over one that was there the archive is laid:
    of a whole run it wins, and what it lacks stays. A run that was only archived along with some of its
    results or artifacts has lived on since, and stays as it is.
    """
    columns = archived.columns
    if target.run_existed and not archived.is_whole:
        return bool(run.summary == _value(columns["summary"]))
    project_id = target.chosen_project_id or references.check(columns["project_id"])
    stated = {**columns, "project_id": project_id}
    if not target.run_existed:
        _write(session, run, stated)
        # Of a part under an id of its own, the other parts never come back.
        return archived.is_whole or run.id == columns["id"]
    stated["data"] = _deep_merge(_data_before(run), columns["data"])
    _write(session, run, {name: value for name, value in stated.items() if value is not None})
    # Results deleted before the run was are in its summary, whether or not they came back already.
    summary = columns["summary"]
    known = count(summary.get("tests")) if isinstance(summary, dict) else None
    counts, _ = run_summary.count_results(session, run.id)
    return counts["tests"] <= max(archived.results, known or 0)


def _data_before(run: Run) -> dict[str, Any]:
    """Give a run's data without the sentence of an import that broke off; none when it is no object."""
    data = run.data if isinstance(run.data, dict) else {}
    return {key: value for key, value in data.items() if key != PARTIAL}


def _summarize(session: Session, run: Run, parsed: ParsedRun) -> None:
    counts, duration_seconds = run_summary.count_results(session, run.id)
    collected = parsed.claimed_summary.get("collected", run_summary.collected_before(run))
    data = dict(run.data or {})
    data.pop(run_summary.SUMMARY_SOURCE, None)
    if not counts["tests"] and any(parsed.claimed_summary.values()):
        counts = parsed.claimed_summary
        data[run_summary.SUMMARY_SOURCE] = run_summary.FROM_FILE
    run.data = data
    run.summary = run_summary.complete(counts, collected)
    run.duration = parsed.duration_seconds or duration_seconds


def _deep_merge(below: Any, above: Any) -> Any:
    """Lay one JSON value over another: objects are merged key by key, of anything else the upper one wins."""
    if not (isinstance(below, dict) and isinstance(above, dict)):
        return above
    return {**below, **{key: _deep_merge(below.get(key), value) for key, value in above.items()}}


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
