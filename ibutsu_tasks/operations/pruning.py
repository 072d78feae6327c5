"""Deleting what a retention rule says is old, with everything that hangs on it; counting it first."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from sqlalchemy import func, select
from sqlalchemy.exc import DBAPIError

from ibutsu_tasks.database.engine import is_transient
from ibutsu_tasks.errors import RefusedError
from ibutsu_tasks.operations.due_rows import row_date, size_bytes
from ibutsu_tasks.operations.prune_ages import cutoff_at, find_due_rows
from ibutsu_tasks.operations.prune_batches import COUNT_TIMEOUT_SECONDS, BatchPruner, set_timeouts
from ibutsu_tasks.operations.prune_lock import take_prune_lock
from ibutsu_tasks.operations.prune_results import PrunePlan, PruneSummary, TablePlan
from ibutsu_tasks.operations.prune_watch import PruneProgress, PruneWatch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime

    from sqlalchemy import Table
    from sqlalchemy.orm import Session

    from ibutsu_tasks.operations.due_rows import DueRows
    from ibutsu_tasks.operations.prune_batches import Keeper
    from ibutsu_tasks.retention import ProjectAge, RetentionRule

__all__ = ["PrunePlan", "PruneProgress", "PruneSummary", "TablePlan", "cutoff_at", "plan", "prune"]

logger = logging.getLogger(__name__)


def plan(
    session: Session,
    rule: RetentionRule,
    age_days: int,
    *,
    project_ages: Sequence[ProjectAge] = (),
    now: datetime | None = None,
) -> PrunePlan:
    """Count what `prune` would delete at `age_days`, changing nothing.

    Raises RefusedError when the age is below the rule's floor or not in the calendar, when a project of
    `project_ages` does not exist, or when PostgreSQL refuses to count.
    """
    refusal = rule.refusal(age_days)
    if refusal:
        raise RefusedError(f"{refusal}.")
    due = find_due_rows(session, rule, age_days, project_ages, now=now)
    set_timeouts(session, COUNT_TIMEOUT_SECONDS)
    try:
        tables = tuple(_count(session, due, table) for table in due.tables)
    except DBAPIError as error:
        raise _explain(error, f"Counting what {rule.name} would delete failed") from error
    return PrunePlan(rule.name, age_days, due.cutoff, tables)


def _count(session: Session, due: DueRows, table: Table) -> TablePlan:
    date = row_date(table)
    columns = (func.count(), func.min(date), func.max(date), func.coalesce(func.sum(size_bytes(table)), 0))
    query = select(*columns).select_from(table).where(table.c.id.in_(due.select_all(table)))
    rows, oldest, newest, stored = session.execute(query).one()
    return TablePlan(table.name, rows, oldest, newest, int(stored))


def prune(
    open_session: Callable[[], AbstractContextManager[Session]],
    rule: RetentionRule,
    age_days: int,
    *,
    project_ages: Sequence[ProjectAge] = (),
    now: datetime | None = None,
    on_progress: Callable[[PruneProgress], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
    keeper: Keeper | None = None,
) -> PruneSummary:
    """Delete the rows of `rule` older than `age_days` before `now` (naive UTC), and what hangs on them.

    `project_ages` are other ages for the rows of some projects. `open_session` opens one transaction each
    time it is called; one more stays open all the while and holds the lock against a second prune.
    `on_progress` is called after each batch and while it pauses. `should_stop` is asked between batches:
    True ends the prune with a summary that says so, and the same call goes on where it stopped. `keeper`
    saves what goes before it goes. Below the rule's floor nothing is deleted and the summary says so.

    Raises BusyError while another prune runs, and RefusedError when PostgreSQL refuses to delete a row or
    a project of `project_ages` does not exist; what was deleted before stays deleted.
    """
    refusal = rule.refusal(age_days)
    if refusal:
        logger.warning("%s is not pruned. %s", rule.name, refusal)
        return PruneSummary(rule.name, age_days, skipped=refusal)
    started = time.monotonic()
    with open_session() as lock_session:
        take_prune_lock(lock_session)
        due = find_due_rows(lock_session, rule, age_days, project_ages, now=now)
        watch = PruneWatch(due, lock_session, on_progress or (lambda _: None), should_stop or (lambda: False))
        pruner = BatchPruner(open_session, due, watch.goes_on, keeper)
        left = _run(pruner)
    return PruneSummary(
        rule.name,
        age_days,
        cutoff=due.cutoff,
        deleted={table.name: pruner.deleted[table.name] for table in due.tables},
        size_bytes=pruner.size_bytes,
        left=left,
        seconds=time.monotonic() - started,
        stopped=pruner.stopped,
    )


def _run(pruner: BatchPruner) -> int:
    try:
        return pruner.run()
    except DBAPIError as error:
        name, rows = pruner.due.rule.name, pruner.deleted.total()
        raise _explain(error, f"Pruning {name} stopped after {rows} rows") from error


def _explain(error: DBAPIError, what_happened: str) -> Exception:
    """Give PostgreSQL's sentence without its details, which may quote rows; leave what a retry cures."""
    if is_transient(error):
        return error
    sentence = getattr(getattr(error.orig, "diag", None), "message_primary", None)
    return RefusedError(
        f"{what_happened}: PostgreSQL says: {sentence or type(error.orig).__name__}.",
        "What was deleted before stays deleted. Mend the cause, then prune again.",
    )
