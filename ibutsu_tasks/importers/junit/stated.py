"""What a suite or a test case states of itself in numbers: counts, its duration, when it began."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ibutsu_tasks.importers.findings import Findings, shown
from ibutsu_tasks.importers.summary_counts import SUMMARY_COUNTS
from ibutsu_tasks.importers.values import count, seconds, utc_time

if TYPE_CHECKING:
    from datetime import datetime

    from ibutsu_tasks.importers.junit.xml_stream import XmlStream

STATED_COUNTS = {one.key: one.attributes for one in SUMMARY_COUNTS if one.attributes}


def stated_counts(attributes: dict[str, str]) -> dict[str, int]:
    """Read the counts a suite states about itself, by the keys of a run's summary."""
    stated = {}
    for key, names in STATED_COUNTS.items():
        numbers = (count(attributes[name]) for name in names if name in attributes)
        if (number := next(numbers, None)) is not None:
            stated[key] = number
    # googletest counts the disabled beside the skipped.
    if disabled := count(attributes.get("disabled")):
        stated["skips"] = stated.get("skips", 0) + disabled
    return stated


@dataclass(frozen=True, slots=True)
class StatedValues:
    """Reads attributes; a warning names the line of one that makes no sense."""

    _stream: XmlStream
    _findings: Findings

    def duration_seconds(self, attributes: dict[str, str]) -> float | None:
        """Give the `time` of a suite or a case; None when there is none or no sense in it."""
        text = attributes.get("time")
        if not text:
            return None
        duration = seconds(text)
        if duration is None:
            sentence = f'line {self._stream.line} has time="{shown(text)}", which is no duration; 0 was taken'
            self._findings.note("time", sentence)
        return duration

    def time(self, attributes: dict[str, str]) -> datetime | None:
        """Give the `timestamp` of a suite as naive UTC; None when there is none or no sense in it."""
        text = attributes.get("timestamp")
        if not text:
            return None
        time = utc_time(text)
        if time is None:
            sentence = f'line {self._stream.line} has timestamp="{shown(text)}", which is no time; left out'
            self._findings.note("timestamp", sentence)
        return time
