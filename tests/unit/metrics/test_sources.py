"""A source that takes too long, fails, or works again."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ibutsu_tasks.metrics.sources import Source
from tests.commands import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def ask(source: Source[int]) -> int | None:
    return source.value(source.begin())


def source_of(read: Callable[[], int], limit_seconds: float = 30) -> Source[int]:
    return Source("broker", read, lambda error: f"it said {error}", limit_seconds)


@contextmanager
def held() -> Iterator[threading.Event]:
    gate = threading.Event()
    try:
        yield gate
    finally:
        gate.set()


def test_what_takes_too_long_is_left_and_never_begun_twice() -> None:
    begun: list[int] = []
    with held() as gate:

        def read() -> int:
            begun.append(1)
            gate.wait(60)
            return 7

        source = source_of(read, limit_seconds=0.05)
        assert [ask(source), ask(source)] == [None, None]
        assert source.failure == "it did not answer within 0.05 s"
        assert len(begun) == 1
    until(lambda: ask(source) == 7)
    assert source.failure == ""


def test_what_was_begun_with_others_is_waited_for_until_their_common_end() -> None:
    with held() as gate:
        source = source_of(lambda: gate.wait(60), limit_seconds=3600)
        begun = source.begin()
        assert 3500 < begun.deadline - time.monotonic() <= 3600
        # Others have used the time up.
        assert source.value(begun._replace(deadline=time.monotonic())) is None


def test_an_error_is_explained_and_forgotten() -> None:
    answers = iter([ValueError("no"), 1, OSError("gone"), 2])

    def read() -> int:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    source = source_of(read)
    assert ask(source) is None
    assert source.failure == "it said no"
    assert (ask(source), source.failure) == (1, "")
    assert ask(source) is None
    assert (ask(source), source.failure) == (2, "")
