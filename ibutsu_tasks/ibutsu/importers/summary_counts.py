"""The counts of a run's summary, by their keys: what each counts, and what others call it."""

from __future__ import annotations

from typing import NamedTuple


class SummaryCount(NamedTuple):
    """One count. `status` is that of the results it counts, if it counts those of one status."""

    key: str
    status: str | None = None
    title: str | None = None
    """What people read in a table of imports; None when it is not shown there."""
    attributes: tuple[str, ...] = ()
    """The attributes of a JUnit suite that state it; the first one there is taken."""


SUMMARY_COUNTS = (
    SummaryCount("tests", None, "tests", ("tests",)),
    # Every status that no other count takes is a pass, also none.
    SummaryCount("passes", None, "passed"),
    SummaryCount("failures", "failed", "failed", ("failures",)),
    SummaryCount("errors", "error", "errors", ("errors",)),
    SummaryCount("skips", "skipped", "skipped", ("skipped", "skips", "skip")),
    SummaryCount("xfailures", "xfailed", "xfailed", ("xfailures", "xfailed")),
    SummaryCount("xpasses", "xpassed", "xpassed", ("xpasses", "xpassed")),
    SummaryCount("collected"),
    SummaryCount("not_run"),
)

STATUS_BY_COUNT = {count.key: count.status for count in SUMMARY_COUNTS if count.status}
