"""The only place that knows Rich: data goes to stdout, talk goes to stderr."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

if TYPE_CHECKING:
    from ibutsu_tasks.errors import IbutsuTasksError

PIPE_WIDTH = 160
"""Columns of a table that no terminal limits; on a terminal its width rules."""

_UNITS = ("B", "KB", "MB", "GB", "TB")


def format_bytes(size_bytes: float) -> str:
    """Give a size as people say it: `512 B`, `1.5 MB` (powers of 1,000)."""
    unit = _UNITS[0]
    for unit in _UNITS:
        if abs(size_bytes) < 999.5 or unit == _UNITS[-1]:  # noqa: PLR2004 - shown without decimals above
            break
        size_bytes /= 1000
    return f"{size_bytes:.0f} {unit}" if unit == "B" or size_bytes >= 100 else f"{size_bytes:.1f} {unit}"  # noqa: PLR2004


def format_moment(moment: datetime | None) -> str:
    """Give a UTC time to the minute; `–` for none."""
    return moment.strftime("%Y-%m-%d %H:%M") if moment else "–"


def format_seconds(seconds: float | None) -> str:
    """Give a duration: `4 ms`, `0.35 s`, `12.4 s`, `3 min 20 s`; `–` for none."""
    if seconds is None:
        return "–"
    if seconds < 0.1:  # noqa: PLR2004
        return f"{seconds * 1000:.0f} ms"
    if seconds < 10:  # noqa: PLR2004
        return f"{seconds:.2f} s"
    minutes, rest = divmod(seconds, 60)
    return f"{int(minutes)} min {rest:.0f} s" if minutes else f"{seconds:.1f} s"


class Output:
    """Writes results to stdout and everything else to stderr, in colour where the stream takes it."""

    def __init__(self, *, json_wanted: bool = False) -> None:
        self.json_wanted = json_wanted
        self.stdout = Console(highlight=False)
        self.stderr = Console(stderr=True, highlight=False)
        if not self.stdout.is_terminal:
            self.stdout.width = max(self.stdout.width, PIPE_WIDTH)

    def show_json(self, document: Any) -> None:
        """Write one JSON document to stdout."""
        self.stdout.file.write(json.dumps(document, ensure_ascii=False, indent=2, default=_as_json) + "\n")
        self.stdout.file.flush()

    def show_table(
        self,
        title: str | None,
        columns: Sequence[str],
        rows: Sequence[Sequence[str]],
        *,
        right: Sequence[str] = (),
        fold: Sequence[str] = (),
        width_limit: int = PIPE_WIDTH,
    ) -> None:
        """Write a table to stdout; the columns named in `right` are numbers, those in `fold` may wrap.

        It takes the width there is, and no more than `width_limit` columns.
        """
        table = Table(title=title, title_justify="left", title_style="bold", header_style="bold", box=None)
        for name in columns:
            table.add_column(
                name,
                justify="right" if name in right else "left",
                overflow="fold" if name in fold else "ellipsis",
                no_wrap=name not in fold,
            )
        for row in rows:
            table.add_row(*row)
        self.stdout.print(table, width=min(self.stdout.width, width_limit))

    def show(self, markup: str) -> None:
        """Write a line of result to stdout, without wrapping it."""
        self.stdout.print(markup, soft_wrap=True)

    def say(self, markup: str) -> None:
        """Write a line of talk to stderr."""
        self.stderr.print(markup, soft_wrap=True)

    def fail(self, error: IbutsuTasksError) -> None:
        """Write a foreseen error: what is wrong, then what to do."""
        self.say(f"[bold red]Error:[/] {escape(str(error))}")
        if error.hint:
            self.say(f"[bold]Try:[/] {escape(error.hint)}")

    def confirm(self, question: str) -> bool:
        """Ask on stderr; anything but `y` or `yes` is no."""
        self.stderr.print(f"[bold]{escape(question)}[/] \\[y/N] ", end="")
        return input().strip().lower() in {"y", "yes"}

    @contextmanager
    def progress(self, description: str, total: int | None = None) -> Iterator[tuple[Progress, Any]]:
        """Show a bar on stderr while the block runs; yields it and its one task. Silent off a terminal."""
        bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=28),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self.stderr,
            transient=True,
            disable=not self.stderr.is_terminal,
        )
        with bar:
            yield bar, bar.add_task(description, total=total)


def _as_json(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, datetime):
        return value.replace(tzinfo=value.tzinfo or UTC).isoformat()
    return str(value)
