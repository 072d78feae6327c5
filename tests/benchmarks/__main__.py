"""`python -m tests.benchmarks NAME... | all`: measure, and show both sides, the ratio and the target."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from ibutsu_tasks.local.servers.shared import LocalServers
from tests.benchmarks.registry import BENCHMARKS, BY_NAME
from tests.benchmarks.report import WIDTH, as_document, as_markdown, as_table, machine_line, with_results
from tests.benchmarks.system import Bench
from tests.conftest import SETTING_PREFIXES, discard

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.benchmarks.report import Results

ALL = "all"
README = Path(__file__).with_name("README.md")


def main() -> int:
    """Run what the command line names; 1 when a target is missed."""
    options = _parse()
    if options.list:
        print("\n".join(f"{benchmark.name:<15} {benchmark.work}" for benchmark in BENCHMARKS))
        return 0
    names = list(BY_NAME) if ALL in options.names else options.names
    _forget_settings()
    # So that a benchmark that is ended leaves no server and no worker behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with _bench(options.data_dir) as bench:
        machine, results = machine_line(bench), _run(bench, names)
    _print(options, machine, results)
    return 0 if all(figure.is_met for figures in results.values() for figure in figures) else 1


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", type=_known, help="or `all`")
    parser.add_argument("--list", action="store_true", help="name the benchmarks and leave")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--markdown", action="store_true", help="print lines of the table of results")
    parser.add_argument("--readme", action="store_true", help="write them into the README beside it, too")
    parser.add_argument(
        "--data-dir", type=Path, help="where the servers keep their data while they run (a real disk)"
    )
    options = parser.parse_args()
    if not options.names and not options.list:
        parser.error("name a benchmark, or `all`, or ask for --list")
    return options


def _forget_settings() -> None:
    """Keep a developer's own variables and stack away from the workers."""
    for name in [name for name in os.environ if name.startswith(SETTING_PREFIXES)]:
        del os.environ[name]


@contextmanager
def _bench(parent: Path | None) -> Iterator[Bench]:
    data_dir = Path(tempfile.mkdtemp(prefix="ibutsu-tasks-bench-", dir=parent))
    os.environ["XDG_DATA_HOME"] = str(data_dir / "no-data")
    try:
        with LocalServers(data_dir) as servers:
            yield Bench(servers)
    finally:
        discard(data_dir)


def _known(name: str) -> str:
    # With `choices`, Python 3.11 takes no name at all for a wrong one.
    if name not in BY_NAME and name != ALL:
        raise argparse.ArgumentTypeError(f"there is no benchmark {name!r}; --list names them")
    return name


def _run(bench: Bench, names: list[str]) -> Results:
    results: Results = {}
    for name in names:
        print(f"{name}: {BY_NAME[name].work}", file=sys.stderr, flush=True)
        results[name] = BY_NAME[name].run(bench)
    return results


def _print(options: argparse.Namespace, machine: str, results: Results) -> None:
    if options.readme:
        README.write_text(
            with_results(README.read_text(encoding="utf-8"), machine, results), encoding="utf-8"
        )
    if options.json:
        print(json.dumps(as_document(machine, results), indent=2))
    elif options.markdown:
        print("\n".join(as_markdown(results)))
    else:
        console = Console(width=None if sys.stdout.isatty() else WIDTH)
        console.print(machine, highlight=False)
        console.print(as_table(results))


if __name__ == "__main__":
    sys.exit(main())
