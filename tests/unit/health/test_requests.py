"""What a worker counts of its tasks."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING
from unittest.mock import patch

import pytest
from billiard.exceptions import SoftTimeLimitExceeded, TimeLimitExceeded, WorkerLostError
from celery.utils.saferepr import saferepr
from celery.utils.serialization import get_pickled_exception

from ibutsu_tasks.delivery import counts
from ibutsu_tasks.health.metrics import counted, text
from ibutsu_tasks.health.requests import CountedRequest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ibutsu_tasks.delivery.counts import Key


class Ended(CountedRequest):
    name = "a_task"
    time_start: float | None = None
    _eventer = None

    def __init__(self) -> None:
        """Celery's needs a message."""


@pytest.fixture
def counting() -> Iterator[dict[Key, float]]:
    with patch.dict(counts.counts, clear=True):
        yield counts.counts


@pytest.mark.parametrize(
    ("event", "error", "kind"),
    [
        ("task-failed", ValueError("WorkerLostError("), "permanent"),
        ("task-failed", WorkerLostError("signal 9"), "killed"),
        ("task-retried", WorkerLostError("signal 9"), "killed"),
        ("task-retried", ConnectionError(), "temporary"),
        ("task-failed", TimeLimitExceeded(3), "timed_out"),
        ("task-failed", SoftTimeLimitExceeded(3), "timed_out"),
        ("task-revoked", None, "revoked"),
        ("task-rejected", None, None),
        ("task-succeeded", None, None),
        ("task-started", None, None),
    ],
)
def test_failures_are_told_apart(
    counting: dict[Key, float], event: str, error: Exception | None, kind: str | None
) -> None:
    # As Celery words them in its events.
    fields = {"exception": saferepr(get_pickled_exception(error))} if error else {}
    Ended().send_event(event, **fields)
    failures = [key for key in counting if key[0] == counts.FAILURES]
    assert failures == ([(counts.FAILURES, "a_task", kind)] if kind else [])
    assert (counts.FINISHED in {key[0] for key in counting}) == (event != "task-started")


def test_durations_are_a_histogram(counting: dict[Key, float]) -> None:
    for seconds in (0.05, 0.1, 0.3, 7200):
        counts.observe("a_task", "succeeded", seconds)
    ended = Ended()
    ended.time_start = time.time() - 20
    ended.send_event("task-failed", exception="ValueError()")
    page = text(counted(counting, ""))
    line = 'task_duration_seconds_bucket{le="%s",outcome="%s",task="a_task"} %s\n'
    for bucket, number in (("0.1", "2.0"), ("0.5", "3.0"), ("3600.0", "3.0"), ("+Inf", "4.0")):
        assert line % (bucket, "succeeded", number) in page
    assert 'task_duration_seconds_count{outcome="succeeded",task="a_task"} 4.0\n' in page
    assert line % ("10.0", "failed", "0.0") in page
    assert line % ("60.0", "failed", "1.0") in page


def test_a_key_that_is_none_is_left_out() -> None:
    values = {
        ("received_tasks",): 1.0,
        ("unknown", "a"): 1.0,
        (counts.DURATION, "a"): 1.0,
        ("failures", "a"): 1.0,
    }
    assert not [line for line in text(counted(values, "")).splitlines() if not line.startswith("#")]
