"""A JUnit report of 10,000 cases: 10 % failing with a 2 KB traceback, all with 1 KB of system-out."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.benchmarks.imports import against_copy
from tests.benchmarks.report_files import write_junit

if TYPE_CHECKING:
    from tests.benchmarks.measuring import Figure
    from tests.benchmarks.system import Bench

CASES, OUTPUT_BYTES, TRACEBACK_BYTES = 10_000, 1024, 2048


def run(bench: Bench) -> list[Figure]:
    """Measure the import, the COPY of the rows it writes, and their storing one by one."""
    with tempfile.TemporaryDirectory() as directory, bench.system() as system, system.worker() as worker:
        path = Path(directory) / "report.xml"
        write_junit(path, CASES, output_bytes=OUTPUT_BYTES, traceback_bytes=TRACEBACK_BYTES)
        return against_copy(system, worker, path, CASES, at_most=2.0, at_least=20)
