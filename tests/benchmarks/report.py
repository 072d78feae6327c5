"""The results as a table for a terminal, as JSON, and as the README's table."""

from __future__ import annotations

import os
import platform
import re
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich import box
from rich.table import Table

from tests.benchmarks.measuring import MEBIBYTE, TIMES
from tests.benchmarks.registry import BY_NAME

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.benchmarks.measuring import Figure
    from tests.benchmarks.system import Bench

Results = dict[str, "Sequence[Figure]"]

COLUMNS = ("benchmark", "ours", "reference", "result", "target", "met", "peak RSS")
WIDTH = 80
"""Columns of a terminal that the table fits into."""

MARKER = re.compile(r"(<!-- benchmarks -->\n).*?(<!-- /benchmarks -->)", re.DOTALL)


def machine_line(bench: Bench) -> str:
    """Name what the figures depend on."""
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return (
        f"{os.cpu_count()} cores ({_processor()}), {memory_bytes / 1024**3:.0f} GiB, "
        f"{platform.system()} {platform.release().partition('-')[0]}, Python {platform.python_version()}, "
        f"PostgreSQL {bench.postgresql_version()}, Valkey {bench.valkey_version()}; fsync on"
    )


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    found = re.search(r"^model name\s*:\s*(.+)$", info.read_text(), re.MULTILINE) if info.exists() else None
    return found[1] if found else platform.machine()


def as_document(machine: str, results: Results) -> dict[str, Any]:
    """Give everything as one JSON object, numbers unrounded."""
    lines = [
        {"benchmark": name, **asdict(figure), "met": figure.is_met}
        for name, figures in results.items()
        for figure in figures
    ]
    return {"machine": machine, "figures": lines}


def as_table(results: Mapping[str, Sequence[Figure]]) -> Table:
    """Lay the results out within 80 columns."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for number, name in enumerate(COLUMNS):
        table.add_column(name, justify="right" if number else "left", no_wrap=bool(number))
    for name, figures in results.items():
        table.add_row(f"[bold]{name}")
        for figure in figures:
            table.add_row(f"  {figure.label}", *_cells(figure), style=None if figure.is_met else "red")
    return table


def as_markdown(results: Mapping[str, Sequence[Figure]]) -> list[str]:
    """Give the lines of the table of results, one for each figure."""
    return [
        f"| {' | '.join([f'`{name}`: {figure.label}', *_cells(figure)])} |"
        for name, figures in results.items()
        for figure in figures
    ]


def with_results(readme: str, machine: str, results: Mapping[str, Sequence[Figure]]) -> str:
    """Give the README with the lines of the benchmarks that ran written anew and the others kept."""
    block = MARKER.search(readme)
    assert block, "the README has no place for the results"
    known = [line for line in block[0].splitlines() if line.startswith("| `")]
    others = {_name_of(line) for line in known} - results.keys()
    kept = {name: [line for line in known if _name_of(line) == name] for name in others}
    fresh = {name: as_markdown({name: figures}) for name, figures in results.items()}
    lines = [line for name in _in_order([*kept, *fresh]) for line in (kept | fresh)[name]]
    head = [f"{machine}.", "", f"| {' | '.join(COLUMNS)} |", "|---" + "|--:" * (len(COLUMNS) - 1) + "|"]
    return MARKER.sub(lambda match: f"{match[1]}{chr(10).join([*head, *lines])}\n{match[2]}", readme)


def _in_order(names: Sequence[str]) -> list[str]:
    return sorted(names, key=list(BY_NAME).index)


def _name_of(line: str) -> str:
    return line.split("`")[1]


def _cells(figure: Figure) -> list[str]:
    sign = "" if figure.target is None else "≤ " if figure.target.is_upper else "≥ "
    target = "" if figure.target is None else sign + shown(figure.target.bound, figure.result_unit)
    return [
        shown(figure.ours, figure.unit),
        "" if figure.reference is None else shown(figure.reference, figure.unit),
        shown(figure.result, figure.result_unit),
        target,
        "" if figure.target is None else "yes" if figure.is_met else "no",
        "" if figure.peak_rss_bytes is None else f"{figure.peak_rss_bytes / MEBIBYTE:.0f} MiB",
    ]


def shown(value: float, unit: str) -> str:
    """Give a number with its unit and no more digits than a run can tell."""
    if unit == "s" and value < 1:
        value, unit = value * 1000, "ms"
    digits = 0 if value == round(value) or abs(value) >= 1000 else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f}{'' if unit == TIMES else ' '}{unit}".rstrip()
