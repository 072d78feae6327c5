"""The pages of a process on its health port: `/livez`, `/readyz`, `/startupz` and `/metrics`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from ibutsu_tasks.health import metrics
from ibutsu_tasks.health.questions import QUESTIONS, Answer, answer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ibutsu_tasks.health.heartbeat import Heartbeat


PAGES = {f"/{question}z": question for question in QUESTIONS}


class Page(NamedTuple):
    """What is answered to a request."""

    status: int
    content_type: str
    text: str


def pages_of(heartbeat: Callable[[], Heartbeat]) -> Callable[[str], Page]:
    """Give what answers for the process of this heartbeat."""

    def answer_of(question: str) -> Callable[[], Answer]:
        return lambda: answer(question, heartbeat(), time.monotonic())

    answers = {path: answer_of(question) for path, question in PAGES.items()}
    return pages(answers, lambda: metrics.text(metrics.of_process(heartbeat(), time.monotonic())))


def pages(
    answers: Mapping[str, Callable[[], Answer]], metrics_text: Callable[[], str]
) -> Callable[[str], Page]:
    """Give what answers for a path: one of `answers`, or `/metrics`."""

    def page(path: str) -> Page:
        if path == "/metrics":
            return Page(200, metrics.CONTENT_TYPE, metrics_text())
        if path not in answers:
            return Page(404, "text/plain", f"There are {', '.join(answers)} and /metrics.\n")
        holds, sentence = answers[path]()
        return Page(200 if holds else 503, "text/plain; charset=utf-8", f"{sentence}\n")

    return page
