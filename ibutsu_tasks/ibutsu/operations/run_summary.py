"""The summary of a run, counted by the database from its results, and the runs whose summary miscounts."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

from sqlalchemy import Integer, and_, bindparam, case, func, not_, select, update

from ibutsu_tasks.clock import utc_now
from ibutsu_tasks.database.engine import limit_lock_wait
from ibutsu_tasks.ibutsu.database.models import Result, Run
from ibutsu_tasks.ibutsu.importers.summary_counts import STATUS_BY_COUNT
from ibutsu_tasks.ibutsu.importers.values import MAX_DURATION_SECONDS, count

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import CursorResult
    from sqlalchemy.orm import Session

    from ibutsu_tasks.database.engine import KeptConnection

COLUMNS_FROM_RESULT = ("start_time", "env", "component", "project_id")
DATA_FROM_RESULT = ("jenkins", "tags")

SUMMARY_SOURCE = "summary_source"
"""Key in a run's data. The value `file` marks counts that an imported file stated without test cases."""

FROM_FILE = "file"

LOOK_BACK = timedelta(hours=3)
"""The Ibutsu server's own figure: how long a run is looked at that was cut off, or whose message was lost."""

_WHOLE_NUMBER = "^[0-9]{1,9}$"

RUN_EXISTS = "SELECT 1 FROM runs WHERE id = %s"


# Whoever writes through the API may write NaN, which makes any sum NaN, or 1e308 twice, which PostgreSQL
# refuses to add up.
_HAS_DURATION = Result.duration.between(-MAX_DURATION_SECONDS, MAX_DURATION_SECONDS)

# Built once: a small import spends more time on building such a query than on running it.
_COUNT_RESULTS = select(
    *(func.count().filter(Result.result == status).label(name) for name, status in STATUS_BY_COUNT.items()),
    func.count().label("tests"),
    func.coalesce(func.sum(Result.duration).filter(_HAS_DURATION), 0.0).label("duration"),
).where(Result.run_id == bindparam("run_id"))


def count_results(session: Session, run_id: UUID) -> tuple[dict[str, int], float]:
    """Count a run's results by their name in a summary and add up their seconds, in one query."""
    counts = session.execute(_COUNT_RESULTS, {"run_id": run_id}).one()._asdict()
    duration_seconds = counts.pop("duration")
    return counts, duration_seconds


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
    counts, duration_seconds = count_results(session, run.id)
    has_counts_of_file = isinstance(run.data, dict) and run.data.get(SUMMARY_SOURCE) == FROM_FILE
    if has_counts_of_file and not counts["tests"]:
        return run.summary
    # Looked for first: a query in between would write the run twice, into fourteen indexes each time.
    earliest = earliest_result(session, run.id)
    run.summary = complete(counts, collected_before(run))
    run.duration = duration_seconds
    if earliest is not None:
        _copy_from(earliest, run)
    session.flush()
    return run.summary


def earliest_result(session: Session, run_id: UUID) -> Result | None:
    """Give a run's earliest result; of several at once, the one with the lowest id."""
    query = select(Result).where(Result.run_id == run_id).order_by(Result.start_time, Result.id).limit(1)
    return session.scalar(query.execution_options(populate_existing=True))


def find_out_of_step(session: Session) -> list[UUID]:
    """List the runs started in the last 3 hours (UTC) whose `summary.tests` is not their number of results.

    Runs that have only the counts their file stated are none of them.
    """
    results = select(func.count()).where(Result.run_id == Run.id).scalar_subquery().correlate(Run)
    stated = Run.summary["tests"].astext
    tests = case((stated.regexp_match(_WHOLE_NUMBER), stated.cast(Integer)))
    counted_by_file = and_(results == 0, func.coalesce(Run.data[SUMMARY_SOURCE].astext, "") == FROM_FILE)
    since = utc_now() - LOOK_BACK
    query = (
        select(Run.id)
        .where(Run.start_time > since, tests.is_distinct_from(results), not_(counted_by_file))
        .order_by(Run.start_time, Run.id)
    )
    return list(session.scalars(query))


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
