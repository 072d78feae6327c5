"""What this worker counts of its tasks: by task, outcome and kind of failure, by nothing without bounds."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from typing import NamedTuple

Key = tuple[str, ...]
"""A metric, the values of its labels and, of a duration, a bucket or `sum`."""


class CountedMetric(NamedTuple):
    """What is counted under a name, and by which labels."""

    labels: tuple[str, ...]
    meaning: str


RECEIVED, FINISHED, FAILURES, DURATION = (
    "received_tasks",
    "finished_tasks",
    "failures",
    "task_duration_seconds",
)

METRICS = {
    RECEIVED: CountedMetric(("task",), "Messages taken from a queue; one that comes back is counted again."),
    FINISHED: CountedMetric(
        ("task", "outcome"), "Tasks that ended: succeeded, failed, retried, rejected or revoked."
    ),
    FAILURES: CountedMetric(
        ("task", "kind"),
        "What did not succeed: permanent, temporary (tried again), killed (process), timed_out or revoked.",
    ),
    DURATION: CountedMetric(("task", "outcome"), "From the start of a task in its process to its end."),
}

BUCKETS = (0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0)
"""Upper bounds in seconds: a summary takes a tenth, an import up to minutes, a prune up to an hour."""

BUCKET_LABELS = (*map(str, BUCKETS), "+Inf")
SUM = "sum"

counts: defaultdict[Key, float] = defaultdict(float)
"""What was counted since this process began. Numbers of a bucket do not hold those of smaller ones."""


def count(*key: str) -> None:
    """Count one more."""
    counts[key] += 1


def observe(task: str, outcome: str, seconds: float) -> None:
    """Note how long a task took."""
    counts[DURATION, task, outcome, BUCKET_LABELS[bisect_left(BUCKETS, seconds)]] += 1
    counts[DURATION, task, outcome, SUM] += seconds
