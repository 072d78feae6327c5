"""The three questions that are asked of a process, and their answers: from its heartbeat alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from ibutsu_tasks.health.heartbeat import Heartbeat

LIMIT_SECONDS = 60.0
"""After so long without a turn a loop is taken to hang: longer than any answer it waits for."""

LIVE, READY, STARTUP = "live", "ready", "startup"

QUESTIONS = {
    LIVE: "its loop turned within the last minute, whatever the broker does",
    READY: "it does its work: connected and consuming, leading or standing by, serving the page",
    STARTUP: "it has been ready once",
}


class Answer(NamedTuple):
    """Yes or no, and the sentence to it."""

    holds: bool
    sentence: str


def answer(question: str, heartbeat: Heartbeat, now: float, limit_seconds: float = LIMIT_SECONDS) -> Answer:
    """Answer one of the `QUESTIONS`; `now` is of the clock that the heartbeat's moments are of."""
    problem = _problem(question, heartbeat, now, limit_seconds)
    who = f"{heartbeat.role} {heartbeat.node} (process {heartbeat.pid})"
    state = "has started" if question == STARTUP else f"is {question}"
    if problem:
        return Answer(False, f"{who} {state.replace(' ', ' not ', 1)}: {problem}.")
    busy = f": {heartbeat.busy}" if heartbeat.busy and question == LIVE else ""
    return Answer(True, f"{who} {state}{busy}.")


def _problem(question: str, heartbeat: Heartbeat, now: float, limit_seconds: float) -> str:
    if question == STARTUP and heartbeat.was_ready:
        return ""
    still = _why_still(heartbeat, now, limit_seconds)
    return still if still or question == LIVE else heartbeat.hindrance


def _why_still(heartbeat: Heartbeat, now: float, limit_seconds: float) -> str:
    last = heartbeat.written if heartbeat.busy else heartbeat.ticked
    if now < last:
        return "its heartbeat is of before this machine started"
    seconds = now - last
    return f"its loop has stood still for {seconds:.0f} s" if seconds > limit_seconds else ""
