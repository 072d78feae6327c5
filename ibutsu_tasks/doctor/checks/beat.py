"""The check of beat: whether one leads, and whether it sends what is due."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from redis.exceptions import RedisError

from ibutsu_tasks.beat.due import due_of
from ibutsu_tasks.beat.state import read_state
from ibutsu_tasks.broker.connection import build_client
from ibutsu_tasks.doctor.report import Finding, finding, reason_of
from ibutsu_tasks.doctor.running import CALL_SECONDS
from ibutsu_tasks.packages import loaded
from ibutsu_tasks.text.words import counted

if TYPE_CHECKING:
    from ibutsu_tasks.beat.state import BeatState, Leader, Runs
    from ibutsu_tasks.settings import Settings

TOLERATED_SKEW_SECONDS = 60.0
"""Beat goes by Redis' clock; its own is in its log."""

OVERDUE_AFTER = timedelta(minutes=1)
"""A change of leaders takes half a minute at most."""


def check_beat(settings: Settings) -> list[Finding]:
    """Read who leads and when each entry last ran."""
    try:
        with build_client(settings.require_broker(), CALL_SECONDS) as client:
            state = read_state(client)
    except (RedisError, OSError) as error:
        seen = f"The broker failed while beat was looked for: {reason_of(error, settings)}"
        return [finding("IBT-T19", seen, "Run `ibutsu-tasks doctor --only broker`.")]
    return [judge(state)]


def judge(state: BeatState) -> Finding:
    """Give the finding about what Redis knows of beat."""
    leader, overdue = state.leader, ", ".join(overdue_entries(state.runs))
    standbys = f"; {counted(len(state.standbys), 'other')} standing by" if state.standbys else ""
    if leader is None:
        overdue = f" Overdue: {overdue}." if overdue else ""
        return finding(
            "IBT-T01",
            f"No beat leads: nothing is sent on schedule, old rows are not pruned.{overdue}",
            "Start one with `ibutsu-tasks beat`.",
        )
    if overdue and state.runs.now - leader.since > OVERDUE_AFTER:
        return finding(
            "IBT-T03",
            f"Beat leads on {leader}, and does not send what is due: {overdue}.",
            "Read its log; ending it has another lead.",
        )
    if abs(leader.skew_seconds) > TOLERATED_SKEW_SECONDS:
        return finding(
            "IBT-T02",
            f"Beat leads on {leader}, and its clock differs from Redis' by {abs(leader.skew_seconds):.0f} s.",
            "Set both clocks, for example with `timedatectl set-ntp true`.",
        )
    return finding("IBT-T00", f"Beat leads on {leader} {_times(leader)}{standbys}.")


def overdue_entries(runs: Runs) -> list[str]:
    """Name the entries that ought to have been sent by now, and for when."""
    due = {row.name: due_of(row, runs) for row in loaded().schedule}
    late = {name: moment for name, moment in due.items() if runs.now - moment > OVERDUE_AFTER}
    return [f"{name} since {moment:%Y-%m-%d %H:%M} UTC" for name, moment in late.items()]


def _times(leader: Leader) -> str:
    return f"since {leader.since:%Y-%m-%d %H:%M} UTC, last seen {leader.seen_seconds:.0f} s ago"
