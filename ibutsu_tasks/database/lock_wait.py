"""How long a transaction waits for somebody else's lock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

LOCK_TIMEOUT_SECONDS = 10
"""Most transactions take less; behind a longer one, such as a large import, the task is tried again."""


def limit_lock_wait(session: Session) -> None:
    """Make every wait for a lock, in this transaction, end after a while with a transient error."""
    session.execute(text(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT_SECONDS}s'"))
