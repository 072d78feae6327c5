"""Two sides measured in turns, and what their medians say against a target."""

from __future__ import annotations

import re
import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

MEBIBYTE = 1024**2

TIMES = "×"


@dataclass(frozen=True, slots=True)
class Target:
    """A bound on a result, in the result's unit."""

    bound: float
    is_upper: bool

    def is_met_by(self, value: float) -> bool:
        """Compare as the table shows it: two decimals of a ratio are all that a run can tell."""
        return round(value, 2) <= self.bound if self.is_upper else round(value, 2) >= self.bound


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table. `unit` is that of `ours` and `reference`, `result_unit` that of the others."""

    label: str
    ours: float
    unit: str
    result: float
    result_unit: str
    target: Target | None = None
    reference: float | None = None
    peak_rss_bytes: int | None = None

    @property
    def is_met(self) -> bool:
        """Say whether the target is reached; without one there is nothing to miss."""
        return self.target is None or self.target.is_met_by(self.result)


def ratio(
    label: str,
    ours: float,
    reference: float,
    unit: str,
    *,
    at_most: float | None = None,
    at_least: float | None = None,
    peak_rss_bytes: int | None = None,
) -> Figure:
    """Compare as ours ÷ reference: how many times the limit, or which part of a bare worker's rate."""
    target = _target(at_most, at_least)
    return Figure(label, ours, unit, ours / reference, TIMES, target, reference, peak_rss_bytes)


def speedup(
    label: str,
    ours: float,
    reference: float,
    unit: str,
    *,
    at_least: float | None = None,
    peak_rss_bytes: int | None = None,
) -> Figure:
    """Compare as reference ÷ ours: how many times less ours takes."""
    target = _target(None, at_least)
    return Figure(label, ours, unit, reference / ours, TIMES, target, reference, peak_rss_bytes)


def single(
    label: str,
    ours: float,
    unit: str,
    *,
    at_most: float | None = None,
    at_least: float | None = None,
    peak_rss_bytes: int | None = None,
) -> Figure:
    """Hold a figure itself against a bound."""
    return Figure(label, ours, unit, ours, unit, _target(at_most, at_least), peak_rss_bytes=peak_rss_bytes)


def _target(at_most: float | None, at_least: float | None) -> Target | None:
    if at_most is not None:
        return Target(at_most, is_upper=True)
    return None if at_least is None else Target(at_least, is_upper=False)


def seconds(work: Callable[[], object]) -> float:
    """Time one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def interleave(*sides: Callable[[], float], rounds: int) -> list[float]:
    """Measure each side once per round, in turns, the order reversed every other round; give the medians.

    A side returns what it measured, so that its preparation is not part of it.
    """
    measured: list[list[float]] = [[] for _ in sides]
    numbers = list(range(len(sides)))
    for _ in range(rounds):
        for number in numbers:
            measured[number].append(sides[number]())
        numbers.reverse()
    return [statistics.median(values) for values in measured]


def peak_rss_bytes(*pids: int) -> int:
    """Give the largest peak of resident memory among processes (`VmHWM`)."""
    return max(_status_bytes(pid, "VmHWM") for pid in pids)


def rss_bytes(pid: int) -> int:
    """Give the resident memory of a process now (`VmRSS`)."""
    return _status_bytes(pid, "VmRSS")


def reset_peak_rss(pid: int) -> None:
    """Let the peak of a process begin at what it has now (proc(5), `clear_refs`)."""
    Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="ascii")


def pss_bytes(*pids: int) -> int:
    """Add up the memory of processes, shared pages divided among those who share them (`Pss`)."""
    return sum(_proc_bytes(Path(f"/proc/{pid}/smaps_rollup"), "Pss") for pid in pids)


def _status_bytes(pid: int, field: str) -> int:
    return _proc_bytes(Path(f"/proc/{pid}/status"), field)


def _proc_bytes(path: Path, field: str) -> int:
    found = re.search(rf"^{field}:\s+(\d+) kB$", path.read_text(encoding="ascii"), re.MULTILINE)
    assert found, f"{path} says nothing of {field}"
    return int(found[1]) * 1024
