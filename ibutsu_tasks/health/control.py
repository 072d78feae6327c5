"""What a worker answers when it is asked by Celery's control how it fares: the same as a probe is told."""

from __future__ import annotations

import time
from typing import Any

from celery.worker import control

from ibutsu_tasks.health.pulse import Pulse
from ibutsu_tasks.health.questions import QUESTIONS, answer
from ibutsu_tasks.wire_names import PROBES_QUESTION

panel: Any = control.Panel


def install() -> None:
    """Have the worker of this process answer the question."""
    panel.register(name=PROBES_QUESTION, type="inspect")(probes)


def probes(state: Any, **_: Any) -> dict[str, Any]:  # noqa: ARG001 - Celery's signature
    """Give, by question, whether it holds and the sentence to it; nothing in a process without a pulse."""
    if Pulse.own is None:
        return {}
    heartbeat, now = Pulse.own.heartbeat(), time.monotonic()
    return {question: list(answer(question, heartbeat, now)) for question in QUESTIONS}
