"""The only place that knows Rich: data goes to stdout, talk goes to stderr."""

from __future__ import annotations

import json
import re
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

# C0, DEL and C1; what ends a line or turns its direction; bytes of a file name that are no UTF-8.
_CONTROLS = r"\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff"
_IN_A_STRING = re.compile(rf"[\t\n{_CONTROLS}]")
# Lists and log lines in our own sentences are indented by two; what comes from outside forges no line.
_IN_A_TEXT = re.compile(rf"[{_CONTROLS}]|\n(?!  )")
_RAW_IN_JSON = re.compile(r"[\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")

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


def visible(text: str) -> str:
    r"""Show the control characters of a string from outside, such as `\x1b`, in place of obeying them."""
    return _IN_A_STRING.sub(_show_control, text)


def plain(text: str) -> str:
    """Make a string from outside fit for markup: its brackets are no tags, its controls are visible."""
    return escape(visible(text))


def _show_control(match: re.Match[str]) -> str:
    code = ord(match[0])
    if 0xDC80 <= code <= 0xDCFF:  # noqa: PLR2004 - how Python keeps a byte that is no UTF-8
        code -= 0xDC00
    return f"\\x{code:02x}" if code <= 0xFF else f"\\u{code:04x}"  # noqa: PLR2004 - two digits


def _show_controls(markup: str) -> str:
    return _IN_A_TEXT.sub(_show_control, markup)


class Output:
    """Writes results to stdout and everything else to stderr, in colour where the stream takes it."""

    def __init__(self, *, json_wanted: bool = False) -> None:
        self.json_wanted = json_wanted
        self.stdout = Console(highlight=False, emoji=False)
        self.stderr = Console(stderr=True, highlight=False, emoji=False)
        if not self.stdout.is_terminal:
            self.stdout.width = max(self.stdout.width, PIPE_WIDTH)

    def show_json(self, document: Any) -> None:
        """Write one JSON document to stdout; what a terminal would obey is written as JSON escapes."""
        text = json.dumps(document, ensure_ascii=False, indent=2, default=_as_json)
        self.stdout.file.write(_RAW_IN_JSON.sub(lambda match: f"\\u{ord(match[0]):04x}", text) + "\n")
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
            table.add_row(*map(_show_controls, row))
        self.stdout.print(table, width=min(self.stdout.width, width_limit))

    def show(self, markup: str) -> None:
        """Write a line of result to stdout, without wrapping it."""
        self.stdout.print(_show_controls(markup), soft_wrap=True)

    def say(self, markup: str) -> None:
        """Write a line of talk to stderr."""
        self.stderr.print(_show_controls(markup), soft_wrap=True)

    def fail(self, error: IbutsuTasksError) -> None:
        """Write a foreseen error: what is wrong, then what to do."""
        self.say(f"[bold red]Error:[/] {escape(str(error))}")
        if error.hint:
            self.say(f"[bold]Try:[/] {escape(error.hint)}")

    def confirm(self, question: str) -> bool:
        """Ask on stderr; anything but `y` or `yes` is no, and so is the end of the input."""
        self.stderr.print(f"[bold]{plain(question)}[/] \\[y/N] ", end="", soft_wrap=True)
        answer = None
        try:
            answer = input()
        except (EOFError, UnicodeDecodeError):
            return False
        finally:
            if answer is None:
                self.stderr.print()
        return answer.strip().lower() in {"y", "yes"}

    @contextmanager
    def bars(self) -> Iterator[Progress]:
        """Show bars on stderr while the block runs, each with its text `told`. Silent off a terminal."""
        bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=16),
            TextColumn("{task.fields[told]}", markup=False),
            TimeElapsedColumn(),
            console=self.stderr,
            transient=True,
            disable=not self.stderr.is_terminal,
        )
        with bars:
            yield bars

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
