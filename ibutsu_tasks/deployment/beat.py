"""The lines about beat: who leads and who stands by, and that the schedule is being carried out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ibutsu_tasks.beat.due import due_of
from ibutsu_tasks.doctor.checks.beat import OVERDUE_AFTER, overdue_entries
from ibutsu_tasks.doctor.report import Finding, finding
from ibutsu_tasks.packages import loaded
from ibutsu_tasks.text.words import counted

if TYPE_CHECKING:
    from ibutsu_tasks.beat.state import BeatState


def check_leader(state: BeatState, wanted_standbys: int, wait_seconds: float) -> Finding:
    """Look for the leader, and for as many standbys as are asked for."""
    if state.leader is None:
        return finding(
            "IBT-A11", f"No beat leads after {wait_seconds:g} s.", "Start one with `ibutsu-tasks beat`."
        )
    number = len(state.standbys)
    names = f": {', '.join(map(str, state.standbys))}" if number else ""
    if number < wanted_standbys:
        return finding(
            "IBT-A12",
            f"{number} of {counted(wanted_standbys, 'beat')} standing by{names}; {state.leader} leads.",
            "Start another `ibutsu-tasks beat`: it takes over when the leader is lost.",
        )
    standing = f"{counted(number, 'other')} standing by{names}" if number else "none stands by"
    return finding("IBT-A10", f"Beat leads on {state.leader}; {standing}.")


def unknown_entries(state: BeatState) -> list[str]:
    """Name the entries of the schedule that no beat has written down."""
    return [row.name for row in loaded().schedule if state.runs.base(row.name) is None]


def check_scheduler(state: BeatState) -> Finding:
    """Look whether each entry of the schedule is known, none is overdue, and somebody sends them."""
    runs, leader = state.runs, state.leader
    if unknown := unknown_entries(state):
        what = "the schedule" if len(unknown) == len(loaded().schedule) else ", ".join(unknown)
        return finding(
            "IBT-A31", f"No beat has taken up {what}.", "Start `ibutsu-tasks beat` of this version."
        )
    if leader is None:
        return finding(
            "IBT-A32",
            "The schedule is known, and no beat looks at it.",
            "Start one with `ibutsu-tasks beat`.",
        )
    overdue = overdue_entries(runs)
    if overdue and runs.now - leader.since > OVERDUE_AFTER:
        return finding(
            "IBT-A33",
            f"Not sent though due: {', '.join(overdue)}.",
            "Read the log of beat; ending it has another lead.",
        )
    due = {row.name: due_of(row, runs) for row in loaded().schedule}
    following = min(due, key=due.__getitem__)
    return finding(
        "IBT-A30",
        f"{counted(len(due), 'periodic task')}; the next, {following}, at {due[following]:%H:%M} UTC;"
        f" last tick {leader.seen_seconds:.0f} s ago.",
    )
