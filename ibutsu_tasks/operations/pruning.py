"""Deleting what a retention rule says is old, with everything that hangs on it."""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy.exc import DBAPIError

from ibutsu_tasks.database.engine import is_transient
from ibutsu_tasks.errors import RefusedError
from ibutsu_tasks.operations.due_rows import DueRows
from ibutsu_tasks.operations.prune_batches import BatchPruner
from ibutsu_tasks.operations.prune_indexes import check_indexes
from ibutsu_tasks.operations.prune_results import PruneSummary

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from sqlalchemy.orm import Session

    from ibutsu_tasks.operations.prune_batches import Keeper
    from ibutsu_tasks.retention import RetentionRule

__all__ = ["PruneSummary", "cutoff_at", "explain", "prune"]

logger = logging.getLogger(__name__)


def cutoff_at(age_days: int, now: datetime | None = None) -> datetime:
    """Give the moment (naive UTC) that lies `age_days` before `now`, which is naive UTC too.

    Raises RefusedError when that is before the first year of the calendar.
    """
    try:
        return (now or datetime.now(UTC).replace(tzinfo=None)) - timedelta(days=age_days)
    except OverflowError:
        raise RefusedError(
            f"{age_days} days ago is not in the calendar.", "Give an age of at most some hundred years."
        ) from None


def prune(
    open_session: Callable[[], AbstractContextManager[Session]],
    rule: RetentionRule,
    age_days: int,
    *,
    now: datetime | None = None,
    on_progress: Callable[[int], None] | None = None,
    keeper: Keeper | None = None,
) -> PruneSummary:
    """Delete the rows of `rule` older than `age_days` before `now` (naive UTC), and what hangs on them.

    `open_session` opens one transaction each time it is called. `on_progress` receives the number of rows
    deleted so far, of all tables. `keeper` saves what goes before it goes. Below the rule's floor nothing
    is deleted and the summary says so.

    Raises RefusedError when an index it needs is missing, and when PostgreSQL refuses to delete a row; what
    was deleted before stays deleted.
    """
    refusal = rule.refusal(age_days)
    if refusal:
        logger.warning("%s is not pruned. %s", rule.name, refusal)
        return PruneSummary(rule.name, age_days, skipped=refusal)
    started = time.monotonic()
    due = DueRows(rule, cutoff_at(age_days, now))
    pruner = BatchPruner(open_session, due, on_progress or (lambda _: None), keeper)
    try:
        with open_session() as session:
            check_indexes(session, rule)
        left = pruner.run()
    except DBAPIError as error:
        raise explain(error, f"Pruning {rule.name} stopped after {pruner.deleted.total()} rows") from error
    return PruneSummary(
        rule.name,
        age_days,
        cutoff=due.cutoff,
        deleted={table.name: pruner.deleted[table.name] for table in due.tables},
        size_bytes=pruner.size_bytes,
        left=left,
        seconds=time.monotonic() - started,
    )


def explain(error: DBAPIError, what_happened: str) -> Exception:
    """Give PostgreSQL's sentence without its details, which may quote rows; leave what a retry cures."""
    if is_transient(error):
        return error
    sentence = getattr(getattr(error.orig, "diag", None), "message_primary", None)
    return RefusedError(
        f"{what_happened}: PostgreSQL says: {sentence or type(error.orig).__name__}.",
        "What was deleted before stays deleted. Mend the cause, then prune again.",
    )
