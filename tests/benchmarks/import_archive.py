"""An archive of 1,000 results with one artifact of 4 KB each."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.benchmarks.imports import against_copy
from tests.benchmarks.report_files import write_archive

if TYPE_CHECKING:
    from tests.benchmarks.measuring import Figure
    from tests.benchmarks.system import Bench

RESULTS, ARTIFACT_BYTES = 1_000, 4096


def run(bench: Bench) -> list[Figure]:
    """Measure the import, the COPY of the rows it writes, and their storing one by one."""
    with tempfile.TemporaryDirectory() as directory, bench.system() as system, system.worker() as worker:
        path = Path(directory) / "run.tar.gz"
        write_archive(path, RESULTS, artifact_bytes=ARTIFACT_BYTES)
        return against_copy(system, worker, path, RESULTS, at_most=2.5, at_least=15)
