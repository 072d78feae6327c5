"""Old artifacts that a prune deletes slowly, batch after batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import func, select, text

from ibutsu_tasks.ibutsu.database.models import Artifact

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

_STORE = """
create function sleep_a_while() returns trigger language plpgsql as
$$ begin perform pg_sleep(0.2); return null; end $$;
create trigger slow before delete on artifacts for each statement execute function sleep_a_while();
insert into artifacts (id, upload_date)
select gen_random_uuid(), now() - interval '200 days' from generate_series(1, :number)
"""


def store_slow_files(session: Session, number: int) -> None:
    """Store old artifacts; each batch of them takes 0.2 s, so that a prune can be met on its way."""
    session.execute(text(_STORE), {"number": number})
    session.commit()


def files_left(session: Session) -> int:
    session.rollback()
    return session.scalar(select(func.count()).select_from(Artifact)) or 0
