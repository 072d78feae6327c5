"""One prune at a time in all of a fleet, and what it waits for between batches."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from sqlalchemy import text

from ibutsu_tasks.database.names import quoted
from ibutsu_tasks.errors import BusyError
from ibutsu_tasks.retention.monitor import PruneMonitor, PruneProgress

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from sqlalchemy.orm import Session

    from ibutsu_tasks.retention.due import DueRows

logger = logging.getLogger(__name__)

PRUNE_LOCK = int.from_bytes(b"ibtprune", "big")
"""The advisory lock all prunes of one database compete for."""

# A lock of the transaction, not of the session: behind a pooler that hands out a connection for each
# transaction, the next one would run on another session. The transaction holds no snapshot between its
# statements, so it keeps no dead row from being vacuumed; that it idles for long is meant.
_PREPARE = """
select set_config(name, case name when 'statement_timeout' then '5s'
                                  when 'stats_fetch_consistency' then 'none' else '0' end, true)
from pg_settings where name in ('idle_in_transaction_session_timeout', 'transaction_timeout',
                                'statement_timeout', 'stats_fetch_consistency')
"""

_HOLDER = """
select to_char(activity.xact_start at time zone 'UTC', 'YYYY-MM-DD HH24:MI'), activity.application_name
from pg_locks as locks join pg_stat_activity as activity using (pid)
where locks.locktype = 'advisory' and locks.granted and locks.objsubid = 1
  and locks.database = (select oid from pg_database where datname = current_database())
  and (locks.classid::bigint << 32) + locks.objid::bigint = :key
"""

MAX_LAG_BYTES = 256 * 1024**2
"""Sixteen segments of the log: a standby this far behind answers with old rows and keeps the log growing."""

MAX_DEAD_ROWS = 10_000_000
"""What vacuum remembers in its default 64 MB: with more, it reads every index of the table again."""

# The second half is for roles without pg_monitor, who see of a standby only its slot.
_LAG = """
select max(pg_wal_lsn_diff(pg_current_wal_lsn(), reached)) from (
    select replay_lsn from pg_stat_replication where state in ('streaming', 'catchup')
    union all
    select coalesce(confirmed_flush_lsn, restart_lsn) from pg_replication_slots where active
) as standbys (reached)
"""

_DEAD = """
select relname, n_dead_tup from pg_stat_user_tables
where relid = any(cast(:tables as regclass[])) and n_dead_tup > :most
  and current_setting('autovacuum')::boolean
order by n_dead_tup desc limit 1
"""

LOOK_SECONDS = 1.0
"""How often a prune looks whether others are behind, and whether it still holds its lock."""

MAX_PAUSES_SECONDS = 600.0
"""All pauses of one prune together; after that it continues, for what is behind may never catch up."""

STOP_LOOK_SECONDS = 0.1


class PruneWatch:
    """Decides between batches whether a prune continues. `lock_session` is the one that holds its lock."""

    def __init__(self, due: DueRows, lock_session: Session, monitor: PruneMonitor) -> None:
        self._rule = due.rule.name
        self._tables = due.names
        self._session = lock_session
        self._monitor = monitor
        self._batches = 0
        self._next_look = 0.0
        self._pause_seconds_left = MAX_PAUSES_SECONDS

    def should_stop(self) -> bool:
        """Say whether the prune is to stop."""
        return self._monitor.should_stop()

    def interrupting(self) -> AbstractContextManager[object]:
        """Give a block of mere reading, which KeyboardInterrupt may end when the prune is to stop."""
        return self._monitor.interrupting()

    def end_batch(self, rows: int) -> None:
        """Report that a batch has ended, with `rows` deleted so far, and wait while others are behind."""
        self._batches += 1
        self._monitor.report(PruneProgress(self._rule, rows, self._batches))
        if not self.should_stop() and time.monotonic() >= self._next_look:
            self._pause_while_behind(rows)
            self._next_look = time.monotonic() + LOOK_SECONDS

    def _pause_while_behind(self, rows: int) -> None:
        # Asked even when no pause is left: a lost session is a lost lock.
        while (behind := what_is_behind(self._session, self._tables)) and self._pause_seconds_left > 0:
            self._monitor.report(PruneProgress(self._rule, rows, self._batches, behind))
            if self._stops_within(LOOK_SECONDS):
                return
            self._pause_seconds_left -= LOOK_SECONDS
            if self._pause_seconds_left <= 0:
                logger.warning(
                    "pruning %s continues after 10 minutes of pauses, though %s", self._rule, behind
                )

    def _stops_within(self, seconds: float) -> bool:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.should_stop():
                return True
            time.sleep(STOP_LOOK_SECONDS)
        return False


def take_prune_lock(session: Session) -> None:
    """Take the lock until the transaction of `session` ends, which must do nothing that takes long.

    Raises BusyError, saying since when and who, while somebody else prunes.
    """
    session.execute(text(_PREPARE))
    if not session.scalar(text("select pg_try_advisory_xact_lock(:key)"), {"key": PRUNE_LOCK}):
        raise BusyError(_say_who(session), "Wait for it to end, then prune again.")


def _say_who(session: Session) -> str:
    found = session.execute(text(_HOLDER), {"key": PRUNE_LOCK}).first()
    if found is None:
        return "Another prune has only just ended."
    # Of other users' sessions, PostgreSQL does not give an ordinary role the time.
    since = f" since {found[0]} UTC" if found[0] else ""
    return f"Another prune is running{since}" + (f" ({found[1]})." if found[1] else ".")


def what_is_behind(session: Session, tables: Sequence[str]) -> str | None:
    """Say what a prune of these tables should wait for; None when there is nothing.

    Inactive slots are not waited for: nobody may ever come back to them.
    """
    lag_bytes = session.scalar(text(_LAG))
    if lag_bytes is not None and lag_bytes > MAX_LAG_BYTES:
        return f"a standby is {int(lag_bytes) // 1024**2:,} MB behind"
    dead = session.execute(text(_DEAD), {"tables": list(map(quoted, tables)), "most": MAX_DEAD_ROWS}).first()
    return f"{dead[1]:,} dead rows of {dead[0]} wait for autovacuum" if dead else None
