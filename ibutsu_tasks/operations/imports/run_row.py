"""The run that an import writes: made or found, and completed once its results are there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import update
from sqlalchemy.dialects.postgresql import insert

from ibutsu_tasks.clock import utc_now
from ibutsu_tasks.database.models import Result, Run
from ibutsu_tasks.operations import run_summary
from ibutsu_tasks.operations.imports.partial import PARTIAL
from ibutsu_tasks.storable import storable_json, storable_text

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy.orm import Session

    from ibutsu_tasks.importers.parsed import ParsedRun


def make_or_find(session: Session, parsed: ParsedRun, project_id: UUID | None) -> tuple[Run, bool]:
    """Give the run with the file's id, locked, and whether it was there before.

    Waits for another import that is making the same run.
    """
    now = utc_now()
    columns = {
        "id": parsed.id,
        "project_id": project_id,
        "start_time": parsed.start_time or now,
        "created": now,
    }
    new = insert(Run).values(**columns, data={}, summary={}).on_conflict_do_nothing(index_elements=[Run.id])
    made = session.scalar(new.returning(Run))
    if made is not None:
        return made, False
    run = session.get(Run, parsed.id, with_for_update=True, populate_existing=True)
    if run is None:
        raise LookupError(f"run {parsed.id} vanished between two statements")
    return run, True


def finish(
    session: Session, run: Run, parsed: ParsedRun, project_id: UUID | None, partial: str | None = None
) -> None:
    """Fill in the run from the file, now read to its end or to where it breaks, and count the results.

    What the file does not say stays; metadata is merged deeply, and the file wins. `partial` is the sentence
    of a file that breaks; that of an import before is forgotten.
    """
    if parsed.start_time is not None:
        run.start_time = parsed.start_time
    for column, text in (("env", parsed.env), ("component", parsed.component), ("source", parsed.source)):
        if text:
            setattr(run, column, storable_text(text))
    if project_id is not None and project_id != run.project_id:
        run.project_id = project_id
        _set_project_of_results(session, run)
    told = {} if partial is None else {PARTIAL: partial}
    run.data = storable_json(deep_merge(data_before(run), parsed.data) | told)
    # Flushed in between, the run would be written twice, into fourteen indexes each time.
    with session.no_autoflush:
        _summarize(session, run, parsed)
    session.flush()


def data_before(run: Run) -> dict[str, Any]:
    """Give a run's data without the sentence of an import that broke off; none when it is no object."""
    data = run.data if isinstance(run.data, dict) else {}
    return {key: value for key, value in data.items() if key != PARTIAL}


def _set_project_of_results(session: Session, run: Run) -> None:
    # A file may name its project only after its first results.
    without = update(Result).where(Result.run_id == run.id, Result.project_id.is_(None))
    session.execute(without.values(project_id=run.project_id))


def _summarize(session: Session, run: Run, parsed: ParsedRun) -> None:
    totals = run_summary.count_results(session, run.id)
    collected = parsed.claimed_summary.get("collected", run_summary.collected_before(run))
    counts, data = totals.counts, dict(run.data or {})
    data.pop(run_summary.SUMMARY_SOURCE, None)
    if not counts["tests"] and any(parsed.claimed_summary.values()):
        counts = parsed.claimed_summary
        data[run_summary.SUMMARY_SOURCE] = run_summary.FROM_FILE
    run.data = data
    run.summary = run_summary.complete(counts, collected)
    run.duration = parsed.duration_seconds or totals.duration_seconds


def deep_merge(below: Any, above: Any) -> Any:
    """Lay one JSON value over another: objects are merged key by key, of anything else the upper one wins."""
    if not (isinstance(below, dict) and isinstance(above, dict)):
        return above
    return {**below, **{key: deep_merge(below.get(key), value) for key, value in above.items()}}
