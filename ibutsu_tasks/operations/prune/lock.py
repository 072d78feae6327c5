"""One prune at a time in all of a fleet: whoever holds a lock of the database prunes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text

from ibutsu_tasks.errors import BusyError

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

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
    # Of other users' sessions, PostgreSQL does not tell an ordinary role the time.
    since = f" since {found[0]} UTC" if found[0] else ""
    return f"Another prune is running{since}" + (f" ({found[1]})." if found[1] else ".")
