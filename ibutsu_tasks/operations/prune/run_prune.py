"""Deleting what a retention rule says is old, with everything that hangs on it."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from sqlalchemy.exc import DBAPIError

from ibutsu_tasks.database.engine import is_transient
from ibutsu_tasks.errors import RefusedError
from ibutsu_tasks.operations.prune.ages import find_due_rows
from ibutsu_tasks.operations.prune.batches import BatchPruner
from ibutsu_tasks.operations.prune.indexes import check_indexes
from ibutsu_tasks.operations.prune.lock import take_prune_lock
from ibutsu_tasks.operations.prune.results import PruneSummary
from ibutsu_tasks.operations.prune.watch import PruneProgress, PruneWatch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime

    from sqlalchemy.orm import Session

    from ibutsu_tasks.operations.prune.batches import Keeper
    from ibutsu_tasks.retention import ProjectAge, RetentionRule

__all__ = ["PruneProgress", "PruneSummary", "explain", "prune"]

logger = logging.getLogger(__name__)

_GOES_ON = "What was deleted before stays deleted. Mend the cause, then prune again."


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

    Raises BusyError while another prune runs, and RefusedError when an index it needs is missing, a project
    of `project_ages` does not exist, or PostgreSQL refuses to delete a row; what was deleted before stays
    deleted.
    """
    refusal = rule.refusal(age_days)
    if refusal:
        logger.warning("%s is not pruned. %s", rule.name, refusal)
        return PruneSummary(rule.name, age_days, skipped=refusal)
    started = time.monotonic()
    with open_session() as lock_session:
        take_prune_lock(lock_session)
        check_indexes(lock_session, rule)
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
        raise explain(error, f"Pruning {name} stopped after {rows} rows") from error


def explain(error: DBAPIError, what_happened: str, hint: str = _GOES_ON) -> Exception:
    """Give PostgreSQL's sentence without its details, which may quote rows; leave what a retry cures."""
    if is_transient(error):
        return error
    sentence = getattr(getattr(error.orig, "diag", None), "message_primary", None)
    return RefusedError(
        f"{what_happened}: PostgreSQL says: {sentence or type(error.orig).__name__}.",
        hint,
    )
