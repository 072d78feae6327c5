"""The summary of a run, counted by the database from its results."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

from sqlalchemy import bindparam, func, select, update

from ibutsu_tasks.database.engine import limit_lock_wait
from ibutsu_tasks.database.models import Result, Run
from ibutsu_tasks.importers.summary_counts import STATUS_BY_COUNT
from ibutsu_tasks.importers.values import count

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import ColumnElement, CursorResult
    from sqlalchemy.orm import Session

    from ibutsu_tasks.database.kept_connection import KeptConnection

COLUMNS_FROM_RESULT = ("start_time", "env", "component", "project_id")
DATA_FROM_RESULT = ("jenkins", "tags")

SUMMARY_SOURCE = "summary_source"
"""Key in a run's data. The value `file` marks counts that an imported file stated without test cases."""

FROM_FILE = "file"

RUN_EXISTS = "SELECT 1 FROM runs WHERE id = %s"

MAX_DURATION_SECONDS = 1e12
"""A longer duration of one test, 31,000 years, is left out of its run's."""


@dataclass(frozen=True, slots=True)
class Totals:
    """What one grouped query says of a run's results: counts by their name in a summary."""

    counts: dict[str, int]
    duration_seconds: float


def _is_number(duration: Any) -> ColumnElement[bool]:
    # Whoever writes through the API may write NaN, which makes any sum NaN, or 1e308 twice, which PostgreSQL
    # refuses to add up.
    return cast("ColumnElement[bool]", duration.between(-MAX_DURATION_SECONDS, MAX_DURATION_SECONDS))


# Built once: a small import spends more time on building such a query than on running it.
_COUNT_RESULTS = select(
    *(func.count().filter(Result.result == status).label(name) for name, status in STATUS_BY_COUNT.items()),
    func.count().label("tests"),
    func.coalesce(func.sum(Result.duration).filter(_is_number(Result.duration)), 0.0).label("duration"),
).where(Result.run_id == bindparam("run_id"))


def count_results(session: Session, run_id: UUID) -> Totals:
    """Count a run's results by status and add up their durations, in one query."""
    counts = session.execute(_COUNT_RESULTS, {"run_id": run_id}).one()._asdict()
    return Totals(duration_seconds=counts.pop("duration"), counts=counts)


def complete(counts: Mapping[str, int], collected: int) -> dict[str, int]:
    """Give all ten keys of a summary, from the counts of tests by outcome and of tests collected."""
    summary = {name: counts.get(name, 0) for name in STATUS_BY_COUNT}
    tests = counts.get("tests", 0)
    passes = max(tests - sum(summary.values()), 0)
    return summary | {
        "tests": tests,
        "passes": passes,
        "collected": collected,
        "not_run": max(collected - tests, 0),
        "pass_percent": min(passes * 100 // tests, 100) if tests else 0,
    }


def collected_before(run: Run) -> int:
    """Give the number of tests a run's summary says were collected; 0 when it says nothing usable."""
    return count(run.summary.get("collected")) or 0 if isinstance(run.summary, dict) else 0


def may_exist(connection: KeptConnection, run_id: str | UUID) -> bool:
    """Say False when there is no such run; True also when the database does not answer."""
    identifier = _identifier(run_id)
    return identifier is not None and connection.may_find(RUN_EXISTS, str(identifier))


def refresh(session: Session, run_id: str | UUID) -> dict[str, Any] | None:
    """Recompute a run's summary from its results, and fill in what it has from its earliest result.

    None when there is no such run. A run without results counts 0 and keeps everything else; when its
    counts came from a file without test cases (`SUMMARY_SOURCE`), it keeps them, too.
    """
    run = _locked_run(session, run_id)
    if run is None:
        return None
    totals = count_results(session, run.id)
    if keeps_counts_of_file(run, totals):
        return run.summary
    # Looked for first: a query in between would write the run twice, into fourteen indexes each time.
    earliest = earliest_result(session, run.id)
    run.summary = complete(totals.counts, collected_before(run))
    run.duration = totals.duration_seconds
    if earliest is not None:
        _copy_from(earliest, run)
    session.flush()
    return run.summary


def keeps_counts_of_file(run: Run, totals: Totals) -> bool:
    """Say whether the counts of a run are those its file stated, there being no results to count."""
    return (
        not totals.counts["tests"]
        and isinstance(run.data, dict)
        and run.data.get(SUMMARY_SOURCE) == FROM_FILE
    )


def earliest_result(session: Session, run_id: UUID) -> Result | None:
    """Give a run's earliest result; of several at once, the one with the lowest id."""
    query = select(Result).where(Result.run_id == run_id).order_by(Result.start_time, Result.id).limit(1)
    return session.scalar(query.execution_options(populate_existing=True))


def fill_start_times(session: Session, run_id: str) -> int:
    """Give the run's start time to its results without one; give their number."""
    run = _locked_run(session, run_id)
    if run is None:
        return 0
    lacking = update(Result).where(Result.run_id == run.id, Result.start_time.is_(None))
    filled = session.execute(lacking.values(start_time=run.start_time))
    return cast("CursorResult[Any]", filled).rowcount


def _identifier(run_id: str | UUID) -> UUID | None:
    try:
        return run_id if isinstance(run_id, UUID) else UUID(run_id)
    except (ValueError, TypeError, AttributeError):
        return None


def _locked_run(session: Session, run_id: str | UUID) -> Run | None:
    identifier = _identifier(run_id)
    if identifier is None:
        return None
    limit_lock_wait(session)
    return session.get(Run, identifier, with_for_update=True, populate_existing=True)


def _copy_from(result: Result, run: Run) -> None:
    for column in COLUMNS_FROM_RESULT:
        value = getattr(result, column)
        if value is not None:
            setattr(run, column, value)
    run.source = run.source or result.source
    data = run.data if isinstance(run.data, dict) else {}
    found = result.data if isinstance(result.data, dict) else {}
    lacking = {key: found[key] for key in DATA_FROM_RESULT if not data.get(key) and found.get(key)}
    if lacking:
        run.data = data | lacking
