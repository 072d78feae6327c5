"""The benchmarks there are: one row each, and one module each that holds a function `run`."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.benchmarks.measuring import Figure
    from tests.benchmarks.system import Bench


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A benchmark by its name on the command line; `work` says what both sides do."""

    name: str
    work: str

    @property
    def module(self) -> str:
        """The module with its `run(bench) -> list[Figure]`."""
        return f"tests.benchmarks.{self.name.replace('-', '_')}"

    def run(self, bench: Bench) -> Sequence[Figure]:
        """Measure both sides."""
        figures: Sequence[Figure] = importlib.import_module(self.module).run(bench)
        return figures


BENCHMARKS = (
    Benchmark("import-junit", "a JUnit file of 10,000 cases, from message to done"),
    Benchmark("import-archive", "an archive of 1,000 results with one 4 KB artifact each"),
    Benchmark("import-huge", "a million cases, and one case with a 200 MB system-out"),
    Benchmark("import-small", "200 files of 20 cases through one worker"),
    Benchmark("update-run", "the summary of a run of 10,000 results with 1 KB of metadata"),
    Benchmark("sync-runs", "500 recent runs of 200 results, none and all out of step"),
    Benchmark("update-storm", "500 update_run messages for 5 runs while results are added"),
    Benchmark("prune", "1,050,000 results, 550,000 of them due"),
    Benchmark("prune-kept", "100,000 due results beside 1,000,000 of a project that keeps its own"),
    Benchmark("query", "query_task with pages of 501 and 20,000 results"),
    Benchmark("throughput", "5,000 messages that find nothing to do"),
    Benchmark("queues", "5,000 messages over eight queues and four priorities, three workers"),
    Benchmark("idle-worker", "a worker with nothing to do for two and a half minutes"),
    Benchmark("worker-start", "start to ready; memory of parent and child"),
    Benchmark("startup", "commands as whole processes, beside Celery's own"),
    Benchmark("probe", "a probe of an idle worker as a whole process"),
    Benchmark("scrape", "a scrape of the fleet with a million messages and a million imports"),
)

BY_NAME = {benchmark.name: benchmark for benchmark in BENCHMARKS}
