"""What a suite or a test case states of itself in numbers: counts, its duration, when it began."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from ibutsu_tasks.ibutsu.importers.findings import shown
from ibutsu_tasks.ibutsu.importers.summary_counts import SUMMARY_COUNTS
from ibutsu_tasks.ibutsu.importers.values import count, seconds, utc_time

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from ibutsu_tasks.ibutsu.importers.junit.xml_stream import XmlStream

T = TypeVar("T")
STATED_COUNTS = {one.key: one.attributes for one in SUMMARY_COUNTS if one.attributes}
# What googletest and TestNG count beside the skipped.
_MORE_SKIPS = ("disabled", "ignored")
COUNT_ATTRIBUTES = frozenset(_MORE_SKIPS).union(*STATED_COUNTS.values())


def stated_counts(attributes: dict[str, str]) -> dict[str, int]:
    """Read the counts a suite states about itself, by the keys of a run's summary."""
    stated = {}
    for key, names in STATED_COUNTS.items():
        numbers = (count(attributes[name]) for name in names if name in attributes)
        if (number := next(numbers, None)) is not None:
            stated[key] = number
    for name in _MORE_SKIPS:
        if more := count(attributes.get(name)):
            stated["skips"] = stated.get("skips", 0) + more
    return stated


def stated_duration(stream: XmlStream, attributes: dict[str, str]) -> float | None:
    """Give the `time` of a suite or a case in seconds; None when there is none or no sense in it."""
    return _read(stream, attributes, "time", seconds, "no duration; 0 was taken")


def stated_time(stream: XmlStream, attributes: dict[str, str]) -> datetime | None:
    """Give the `timestamp` of a suite as naive UTC; None when there is none or no sense in it."""
    return _read(stream, attributes, "timestamp", utc_time, "no time a test can have; left out")


def _read(
    stream: XmlStream, attributes: dict[str, str], name: str, read: Callable[[str], T | None], otherwise: str
) -> T | None:
    text = attributes.get(name)
    value = read(text) if text else None
    if text and value is None:
        stream.note(name, f'has {name}="{shown(text)}", which is {otherwise}')
    return value
