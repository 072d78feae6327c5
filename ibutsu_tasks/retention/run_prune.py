"""Deleting what a retention rule says is old, with all its dependants."""

from __future__ import annotations

import logging
import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import DBAPIError

from ibutsu_tasks.clock import iso_utc
from ibutsu_tasks.errors import RefusedError
from ibutsu_tasks.retention.batches import BatchPruner, BatchTuner
from ibutsu_tasks.retention.due import find_due_rows, missing_indexes
from ibutsu_tasks.retention.monitor import PruneMonitor
from ibutsu_tasks.retention.partitions import refuse_partitions
from ibutsu_tasks.retention.watch import PruneWatch, take_prune_lock
from ibutsu_tasks.temporary_errors import is_temporary
from ibutsu_tasks.text.words import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager
    from datetime import datetime

    from sqlalchemy.orm import Session

    from ibutsu_tasks.database.indexes import MissingIndex
    from ibutsu_tasks.packages import RetentionRule
    from ibutsu_tasks.retention.archiving import Archiver
    from ibutsu_tasks.settings import Settings

logger = logging.getLogger(__name__)

TRY_AGAIN = "What was deleted before stays deleted. Mend the cause, then prune again."


@dataclass(frozen=True, slots=True)
class PruneSummary:
    """What a rule deleted.

    `skipped` says why nothing was tried. `left` counts due rows of the rule's own table that still stand
    because other transactions have locked them or their dependants; the next prune takes them. `unarchived`
    counts those that stay because no archive of them could be made. `stopped`: it was asked to stop before
    the end; nobody has counted what is left.
    """

    rule: str
    older_than_days: int
    cutoff: datetime | None = None
    deleted: Mapping[str, int] = field(default_factory=dict)
    size_bytes: int = 0
    left: int = 0
    unarchived: int = 0
    seconds: float = 0.0
    skipped: str | None = None
    stopped: bool = False

    def as_json(self) -> dict[str, Any]:
        """Give the summary as JSON values; dates are ISO 8601 in UTC."""
        values = asdict(self) | {"cutoff": iso_utc(self.cutoff), "seconds": round(self.seconds, 3)}
        del values["unarchived"]
        return values


def prune(
    open_session: Callable[[], AbstractContextManager[Session]],
    rule: RetentionRule,
    age_days: int,
    settings: Settings | None = None,
    *,
    now: datetime | None = None,
    monitor: PruneMonitor | None = None,
    archiver: Archiver | None = None,
    tuner: BatchTuner | None = None,
) -> PruneSummary:
    """Delete the rows of `rule` older than `age_days` before `now` (naive UTC), and their dependants.

    Without `settings` no row has an age of its own. `open_session` opens one transaction each
    time it is called; one more stays open all the while and holds the lock against a second prune. When
    `monitor` says stop, the summary says so, and the same call continues from there. `archiver` archives
    what goes before it goes; `tuner` sizes the batches. Below the rule's floor nothing is deleted and the
    summary says so.

    Raises BusyError while another prune runs, and RefusedError when an index it needs is missing, ages
    of some rows cannot be told, or PostgreSQL refuses to delete a row; what was deleted before stays deleted.
    Raises SettingsError when the rule cannot be run.
    """
    refusal = rule.refusal(age_days)
    if refusal:
        logger.warning("%s is not pruned. %s", rule.name, refusal)
        return PruneSummary(rule.name, age_days, skipped=refusal)
    started = time.monotonic()
    with open_session() as lock_session:
        take_prune_lock(lock_session)
        refuse_partitions(lock_session.connection(), rule)
        if missing := missing_indexes(lock_session.connection(), [rule]):
            raise lacks_index(rule.name, missing[0])
        due = find_due_rows(lock_session, rule, age_days, settings, now=now)
        watch = PruneWatch(due, lock_session, monitor or PruneMonitor())
        pruner = BatchPruner(open_session, due, watch, archiver, tuner or BatchTuner())
        try:
            left = pruner.run()
        except DBAPIError as error:
            rows = pruner.deleted.total()
            raise explain(error, f"Pruning {rule.name} stopped after {counted(rows, 'row')}") from error
    return PruneSummary(
        rule.name,
        age_days,
        cutoff=due.cutoff,
        deleted={table.name: pruner.deleted[table.name] for table in due.tables},
        size_bytes=pruner.size_bytes,
        left=left,
        unarchived=len(archiver.refused) if archiver else 0,
        seconds=time.monotonic() - started,
        stopped=pruner.stopped,
    )


def lacks_index(rule_name: str, index: MissingIndex) -> RefusedError:
    """Give the error of a prune that lacks an index."""
    return RefusedError(f"{rule_name} is not pruned: {index.problem}", index.remedy)


def explain(error: DBAPIError, what_happened: str, hint: str = TRY_AGAIN) -> Exception:
    """Give PostgreSQL's sentence without its details, which may quote rows; leave what a retry cures."""
    if is_temporary(error):
        return error
    sentence = getattr(getattr(error.orig, "diag", None), "message_primary", None)
    return RefusedError(
        f"{what_happened}: PostgreSQL says: {sentence or type(error.orig).__name__}.",
        hint,
    )
