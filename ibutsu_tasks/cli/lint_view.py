"""What `lint` shows: one block per file, or one JSON document."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from ibutsu_tasks.cli.output import format_bytes, format_moment, format_seconds

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ibutsu_tasks.cli.output import Output
    from ibutsu_tasks.importers.linting import Lint

WIDTH = 80
MAX_DATA_ROWS = 30
_COLUMNS = ("what", "kept in", "count", "line")
# Told by line, as what was kept besides; the id of the run is in every result.
_TOLD_ELSEWHERE = frozenset({"run", "attributes", "elements", "attempts", "attachments"})


def as_json(found: Lint) -> dict[str, Any]:
    """Give one file for `--json`; times are UTC, durations seconds, sizes bytes."""
    document = asdict(found)
    return {
        "filename": document.pop("filename"),
        "importable": found.error is None,
        **document,
        "hint": found.hint or None,
    }


def show(output: Output, found: Lint) -> None:
    """Write what was found in one file."""
    kind = f"{found.dialect or 'unknown'}, {format_bytes(found.size_bytes)}"
    output.show(f"[bold]{escape(found.filename)}[/]: {escape(kind)}")
    if found.error:
        output.show(f"  [bold red]Would not import:[/] {escape(found.error)}")
        if found.hint:
            output.show(f"  [bold]Try:[/] {escape(found.hint)}")
    if found.tests or not found.error:
        output.show(f"  {escape(_counts(found))}")
    if rows := list(_rows(found)):
        output.show_table(None, _COLUMNS, rows, right=("count", "line"), fold=("what",), width_limit=WIDTH)
    for warning in found.warnings:
        output.show(f"  [yellow]Warning:[/] {escape(warning)}")


def _counts(found: Lint) -> str:
    before = " before that" if found.error else ""
    statuses = ", ".join(f"{count:,} {status}" for status, count in _most_first(found.statuses))
    parts = [f"{found.tests:,} tests{before}: {statuses}" if statuses else f"no tests{before}"]
    if found.run is not None:
        parts.append(f"took {format_seconds(found.run.duration_seconds)}")
        parts.append(f"started {format_moment(found.run.start_time)}")
    return "; ".join(parts)


def _most_first(counts: dict[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: -item[1])


def _rows(found: Lint) -> Iterator[Sequence[str]]:
    if found.tests:
        yield "test cases", "results", f"{found.tests:,}", ""
    for where, artifacts in (("artifacts", found.result_artifacts), ("run: artifacts", found.run_artifacts)):
        for name, counted in artifacts.items():
            yield f"{escape(name)} ({format_bytes(counted.size_bytes)})", where, f"{counted.count:,}", ""
    keys = [key for key in found.data if key not in _TOLD_ELSEWHERE]
    for key in keys[:MAX_DATA_ROWS]:
        yield escape(key), "data", f"{found.data[key]:,}", ""
    if len(keys) > MAX_DATA_ROWS:
        yield f"and {len(keys) - MAX_DATA_ROWS:,} more keys", "data", "", ""
    for kept in found.kept:
        yield escape(kept.what), kept.where, f"{kept.count:,}", str(kept.line)
