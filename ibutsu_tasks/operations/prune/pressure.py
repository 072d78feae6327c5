"""What a prune waits for: standbys that are behind, and dead rows nobody has cleaned up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.orm import Session

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


def what_is_behind(session: Session, tables: Sequence[str]) -> str | None:
    """Say what a prune of these tables should wait for; None when there is nothing.

    Inactive slots are not waited for: nobody may ever come back to them.
    """
    lag_bytes = session.scalar(text(_LAG))
    if lag_bytes is not None and lag_bytes > MAX_LAG_BYTES:
        return f"a standby is {int(lag_bytes) // 1024**2:,} MB behind"
    dead = session.execute(text(_DEAD), {"tables": list(tables), "most": MAX_DEAD_ROWS}).first()
    return f"{dead[1]:,} dead rows of {dead[0]} wait for autovacuum" if dead else None
