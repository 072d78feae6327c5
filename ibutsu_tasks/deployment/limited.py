"""Work that may hang (a name server, a peer that drips bytes), and is left behind when it does."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Answer = TypeVar("Answer")


def side_by_side(works: Sequence[Callable[[], Answer]], seconds: float) -> list[Answer | None]:
    """Do all at once, each in a daemon thread, and give their answers; None for what took longer."""
    futures = [_begin(work) for work in works]
    deadline = time.monotonic() + seconds
    answers: list[Answer | None] = []
    for future in futures:
        try:
            answers.append(future.result(max(deadline - time.monotonic(), 0)))
        except TimeoutError:
            answers.append(None)
    return answers


def _begin(work: Callable[[], Answer]) -> Future[Answer]:
    future: Future[Answer] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except Exception as error:  # noqa: BLE001 - handed on to who waits
            future.set_exception(error)

    threading.Thread(target=run, name="deploy-check", daemon=True).start()
    return future
