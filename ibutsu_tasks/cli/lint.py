"""What `lint` does and shows: what an import would make of each file, found without any service."""

from __future__ import annotations

import stat
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ibutsu_tasks.cli.exit_codes import ExitCode
from ibutsu_tasks.cli.output.formats import format_bytes, format_moment, format_seconds, plain
from ibutsu_tasks.cli.output.result import Result, Table
from ibutsu_tasks.ibutsu.importers.formats import formats
from ibutsu_tasks.ibutsu.importers.linting import Lint, lint
from ibutsu_tasks.ibutsu.importers.parsed import ImportLimits
from ibutsu_tasks.ibutsu.settings import IMPORT_MAX_UNPACKED_BYTES
from ibutsu_tasks.text.words import counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from ibutsu_tasks.cli.output import Output
    from ibutsu_tasks.cli.output.result import Block
    from ibutsu_tasks.settings import Settings

WIDTH = 80
MAX_DATA_ROWS = 30
_COLUMNS = ("what", "stored in", "count", "line")
# Listed by line, as what is stored besides; the id of the run is in every result.
_LISTED_ELSEWHERE = frozenset({"run", "attributes", "elements", "attempts", "attachments"})


def lint_files(output: Output, settings: Settings, files: Sequence[Path]) -> Result:
    """Show what is found in each file as soon as it is read; BAD_NEWS when one would not import.

    Raises UsageError when there is nothing that imports.
    """
    formats()
    limits = ImportLimits(unpacked_bytes=settings.value(IMPORT_MAX_UNPACKED_BYTES))
    documents, failed = [], False
    for path in files:
        found = _lint_file(output, path, limits)
        output.show_now(_blocks(found))
        documents.append(_as_json(found))
        failed |= found.error is not None
    return Result({"files": documents}, exit_code=ExitCode.BAD_NEWS if failed else ExitCode.DONE)


def _lint_file(output: Output, path: Path, limits: ImportLimits) -> Lint:
    name = str(path)
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            kind = "is a directory" if stat.S_ISDIR(mode) else "is no regular file"
            return Lint(name, 0, error=f"{name} {kind}.")
        with path.open("rb") as content, output.progress(path.name) as update:
            return lint(
                content,
                name,
                path.stat().st_size,
                limits,
                lambda results: update(completed=results),
            )
    except OSError as error:
        return Lint(name, 0, error=f"{name} cannot be read: {error.strerror or error}.")


def _as_json(found: Lint) -> dict[str, Any]:
    """Give one file for `--json`; times are UTC, durations seconds, sizes bytes."""
    document = asdict(found)
    return {
        "filename": document.pop("filename"),
        "importable": found.error is None,
        **document,
        "hint": found.hint or None,
    }


def _blocks(found: Lint) -> Iterator[Block]:
    kind = f"{found.dialect or 'unknown'}, {format_bytes(found.size_bytes)}"
    yield f"[bold]{plain(found.filename)}[/]: {plain(kind)}"
    if found.error:
        yield f"  [bold red]Would not import:[/] {plain(found.error)}"
        if found.hint:
            yield f"  [bold]Try:[/] {plain(found.hint)}"
    if found.tests or not found.error:
        yield f"  {plain(_counts(found))}"
    if rows := list(_rows(found)):
        yield Table(_COLUMNS, rows, right=("count", "line"), fold=("what",), width_limit=WIDTH)
    for warning in found.warnings:
        yield f"  [yellow]Warning:[/] {plain(warning)}"


def _counts(found: Lint) -> str:
    before = " before that" if found.error else ""
    most_first = sorted(found.statuses.items(), key=lambda item: -item[1])
    statuses = ", ".join(f"{count:,} {status}" for status, count in most_first)
    parts = [f"{counted(found.tests, 'test')}{before}: {statuses}" if statuses else f"no tests{before}"]
    if found.run is not None:
        parts.append(f"took {format_seconds(found.run['duration_seconds'])}")
        parts.append(f"started {format_moment(found.run['start_time'])}")
    return "; ".join(parts)


def _rows(found: Lint) -> Iterator[Sequence[str]]:
    if found.tests:
        yield "test cases", "results", f"{found.tests:,}", ""
    for where, artifacts in (("artifacts", found.result_artifacts), ("run: artifacts", found.run_artifacts)):
        for name, some in artifacts.items():
            yield f"{plain(name)} ({format_bytes(some.size_bytes)})", where, f"{some.count:,}", ""
    keys = [key for key in found.data if key not in _LISTED_ELSEWHERE]
    for key in keys[:MAX_DATA_ROWS]:
        yield plain(key), "data", f"{found.data[key]:,}", ""
    if len(keys) > MAX_DATA_ROWS:
        yield f"and {counted(len(keys) - MAX_DATA_ROWS, 'more key')}", "data", "", ""
    for stored in found.kept:
        yield plain(stored.what), stored.where, f"{stored.count:,}", str(stored.line)
