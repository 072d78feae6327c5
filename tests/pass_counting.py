"""How often the summaries of runs are written, counted by the database."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from sqlalchemy import text

from ibutsu_tasks.ibutsu.run_lock import LONGEST_WAIT_SECONDS, QUIET_SECONDS

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy.orm import Session

COUNT_PASSES = text("""
create table passes (run_id uuid);
create function count_pass() returns trigger language plpgsql as
    'begin insert into passes values (new.id); return new; end';
create trigger count_passes after update on runs for each row execute function count_pass();
""")

FORGET_PASSES = text("drop table passes cascade; drop function count_pass() cascade")


def passes_of(session: Session, run_id: UUID) -> int:
    session.rollback()
    return int(session.scalar(text("select count(*) from passes where run_id = :id"), {"id": run_id}) or 0)


def bursts_in(moments: list[float]) -> int:
    """One, but for a machine that stood still in the middle of it, and a burst that did not end in time."""
    stops = sum(later - earlier > QUIET_SECONDS / 2 for earlier, later in pairwise(moments))
    return 1 + stops + int((moments[-1] - moments[0]) / LONGEST_WAIT_SECONDS)
