"""A probe: reads the heartbeats on this host and answers; no library, no word to the broker."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from ibutsu_tasks.health.heartbeat import ROLES, VARIABLE, is_gone, private_directory, read_all
from ibutsu_tasks.health.questions import LIMIT_SECONDS, QUESTIONS, Answer, answer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def ask(
    question: str,
    directory: str,
    role: str | None = None,
    node: str | None = None,
    limit_seconds: float = LIMIT_SECONDS,
) -> list[Answer]:
    """Ask every process on this host of `role` and of the name `node`, or all; there is always an answer."""
    try:
        found = read_all(directory)
    except OSError as error:
        return [Answer(False, f"{directory} cannot be used: {error.strerror} ({error.filename}).")]
    asked = [one for one in found if role in {None, one.role} and node in {None, one.node}]
    if not asked:
        return [Answer(False, _nobody(directory, role, node))]
    now = time.monotonic()
    return [
        Answer(False, f"{one.role} {one.node} is gone: there is no process {one.pid}.")
        if is_gone(one)
        else answer(question, one, now, limit_seconds)
        for one in asked
    ]


def sentences(answers: Sequence[Answer]) -> list[str]:
    """Give what is said: the bad news when there is any."""
    wrong = [one.sentence for one in answers if not one.holds]
    return wrong or [one.sentence for one in answers]


def answer_plain(words: Sequence[str], environ: Mapping[str, str]) -> list[Answer] | None:
    """Answer a command line when it is a plain probe; None for all that takes the whole command line.

    That is wrong usage, help, and settings that stand elsewhere than in the environment.
    """
    if len(words) % 2 or words[:1] != ["probe"] or words[1] not in QUESTIONS:
        return None
    options = dict(zip(words[2::2], words[3::2], strict=True))
    role, node = options.pop("--role", None), options.pop("--node", None)
    if options or role not in {None, *ROLES} or environ.get(f"{VARIABLE}_FILE") or os.path.isfile(".env"):
        return None
    return ask(words[1], private_directory(environ.get(VARIABLE)), role, node)


def _nobody(directory: str, role: str | None, node: str | None) -> str:
    who = " ".join(filter(None, [role or "process", node]))
    return (
        f"There is no heartbeat of a {who} in {directory}:"
        f" it does not run here, or as another user, or with another {VARIABLE}."
    )
