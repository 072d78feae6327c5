"""200 reports of 20 cases through one worker: what an import costs however small it is."""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.benchmarks.imports import check, empty, upload
from tests.benchmarks.measuring import Figure, seconds, single
from tests.benchmarks.report_files import write_junit

if TYPE_CHECKING:
    from tests.benchmarks.system import Bench, BenchSystem

FILES, CASES, ROUNDS = 200, 20, 3


def run(bench: Bench) -> list[Figure]:
    """Measure from the first message on the queue to the last result, all messages waiting there."""
    with tempfile.TemporaryDirectory() as directory, bench.system() as system, system.worker() as worker:
        path = Path(directory) / "report.xml"
        write_junit(path, CASES, output_bytes=1024, traceback_bytes=2048)
        _import_all(system, path)
        taken = statistics.median(_import_all(system, path) for _ in range(ROUNDS))
        milliseconds = taken * 1000 / FILES
        peak = worker.peak_rss_bytes()
        return [single("each, with the queue", milliseconds, "ms", at_most=25, peak_rss_bytes=peak)]


def _import_all(system: BenchSystem, path: Path) -> float:
    empty(system.engine)
    uploads = [upload(system, path) for _ in range(FILES)]

    def through_the_queue() -> None:
        for task_id in [system.publish(*one) for one in uploads]:
            check(system.wait_for_result(task_id), CASES)

    return seconds(through_the_queue)
