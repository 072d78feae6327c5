"""A million cases, and one case with an output of 200 MB: time grows as the file does, memory does not."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.benchmarks.imports import empty, import_seconds
from tests.benchmarks.measuring import MEBIBYTE, Figure, ratio, single
from tests.benchmarks.report_files import write_junit, write_one_output

if TYPE_CHECKING:
    from tests.benchmarks.system import Bench, BenchSystem

FEW, MANY, OUTPUT_BYTES, TRACEBACK_BYTES = 100_000, 1_000_000, 200, 600
ONE_OUTPUT_BYTES = 200 * MEBIBYTE
MAX_RSS_MEBIBYTES = 250
MAX_GROWTH = 1.25
"""Indexes of ten times the rows are deeper, and no longer fit into the server's buffers."""


def run(bench: Bench) -> list[Figure]:
    """Measure a tenth of the cases, all of them, and the one; each in a worker of its own."""
    with tempfile.TemporaryDirectory() as directory, bench.system() as system:
        path = Path(directory) / "report.xml"
        few_seconds, _ = _import_cases(system, path, FEW)
        many_seconds, many_peak = _import_cases(system, path, MANY)
        write_one_output(path, ONE_OUTPUT_BYTES)
        one_seconds, one_peak = _import(system, path, 1)
        return [
            ratio(
                "10 times a tenth of it",
                many_seconds,
                few_seconds * (MANY / FEW),
                "s",
                at_most=MAX_GROWTH,
                peak_rss_bytes=many_peak,
            ),
            single("peak RSS", many_peak / MEBIBYTE, "MiB", at_most=MAX_RSS_MEBIBYTES),
            single("200 MB system-out", one_seconds, "s", peak_rss_bytes=one_peak),
            single("its peak RSS", one_peak / MEBIBYTE, "MiB", at_most=MAX_RSS_MEBIBYTES),
        ]


def _import_cases(system: BenchSystem, path: Path, cases: int) -> tuple[float, int]:
    write_junit(path, cases, output_bytes=OUTPUT_BYTES, traceback_bytes=TRACEBACK_BYTES)
    return _import(system, path, cases)


def _import(system: BenchSystem, path: Path, results: int) -> tuple[float, int]:
    """Give the seconds an import took, and the peak of its worker."""
    empty(system.engine)
    with system.worker() as worker:
        taken = import_seconds(system, worker, path, results)
        return taken, worker.peak_rss_bytes()
