"""The only place that writes: data goes to stdout, talk goes to stderr, and `--json` is decided here alone.

Rich is loaded when the first table is drawn or the first line goes to a terminal.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from datetime import UTC, datetime
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from ibutsu_tasks.cli.output.formats import plain, shorten, terminal_safe_json, without_markup
from ibutsu_tasks.cli.output.result import Document, Note, Result, Table
from ibutsu_tasks.text.control_characters import visible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from rich.console import Console
    from rich.progress import Progress

    from ibutsu_tasks.cli.output.result import Block

JSON_VERSION = 1
"""Of every `--json` document: it grows when a key goes or changes its meaning, not when one is added."""

BAR_NAME_WIDTH = 30
"""Characters of a name beside a bar."""

PIPE_WIDTH = 160
"""Columns of a table that no terminal limits; on a terminal its width rules."""


class Output:
    """Writes results to stdout and everything else to stderr, in colour where the stream takes it."""

    def __init__(self, *, json_wanted: bool = False, on_stderr: bool = False) -> None:
        self.json_wanted = json_wanted
        self._on_stderr = on_stderr

    @cached_property
    def stdout(self) -> Console:
        """The console of the data."""
        from rich.console import Console

        console = Console(highlight=False, emoji=False, stderr=self._on_stderr)
        if not console.is_terminal:
            console.width = max(console.width, PIPE_WIDTH)
        return console

    @cached_property
    def stderr(self) -> Console:
        """The console of the talk."""
        from rich.console import Console

        return Console(stderr=True, highlight=False, emoji=False)

    def render(self, result: Result) -> None:
        """Write what a command came to, as JSON or for people."""
        if self.json_wanted:
            self._write_json({"version": JSON_VERSION, **result.data})
        self.show_now(result.blocks)
        if result.messages:
            # In one piece: where the log is made of objects, a failure and its hint are one.
            self.say(*result.messages)

    def show_now(self, blocks: Iterable[Block]) -> None:
        """Show people what cannot wait for the end of the command; machines get it with the result."""
        if self.json_wanted:
            return
        for block in blocks:
            match block:
                case Table():
                    self._show_table(block)
                case Note(markup):
                    self.say(markup)
                case Document(value):
                    self._write_json(value)
                case str():
                    self._write("stdout", block)

    def say(self, *lines: str) -> None:
        """Write lines of talk, which are markup, to stderr."""
        self._write("stderr", *lines)

    def confirm(self, question: str) -> bool:
        """Ask on stderr; anything but `y` or `yes` is no, and so is the end of the input."""
        self._write("stderr", f"[bold]{plain(question)}[/] {plain('[y/N]')} ", end="")
        answer = None
        try:
            answer = input()
        except (EOFError, UnicodeDecodeError):
            return False
        finally:
            if answer is None:
                self.say("")
        return answer.strip().lower() in {"y", "yes"}

    @contextmanager
    def bars(self, amount: str | None = None) -> Iterator[Progress]:
        """Show bars on stderr while the block runs, with a count or `amount`. Silent off a terminal."""
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=16),
            TextColumn(amount, markup=False) if amount else MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self.stderr,
            transient=True,
            disable=not self.stderr.is_terminal,
        )
        with bars:
            yield bars

    @contextmanager
    def progress(self, description: str, total: int | None = None) -> Iterator[Callable[..., None]]:
        """Show one bar; yields what updates it. Off a terminal, Rich is not even loaded."""
        if not _has_colours("stderr"):
            yield lambda **_: None
            return
        with self.bars() as bars:
            shown = shorten(visible(description), BAR_NAME_WIDTH)
            yield partial(bars.update, bars.add_task(shown, total=total))

    def _write(self, name: str, *lines: str, end: str = "\n") -> None:
        if name not in self.__dict__ and not _has_colours(name):
            stream = getattr(sys, name)
            stream.write("\n".join(map(without_markup, lines)) + end)
            stream.flush()
            return
        from ibutsu_tasks.cli.output.tables import read_markup, wrapped

        console = getattr(self, name)
        for line in lines:
            text = read_markup(line)
            # A terminal itself would break lines inside a word; where none is, they are whole.
            shown = wrapped(text, console.width) if console.is_terminal else text
            console.print(shown, soft_wrap=True, end=end)

    def _show_table(self, table: Table) -> None:
        from ibutsu_tasks.cli.output.tables import draw

        width = min(self.stdout.width, table.width_limit or PIPE_WIDTH)
        # What is too wide nevertheless is left to the terminal, whole.
        self.stdout.print(draw(table, width), width=width, overflow="ignore", crop=False)

    def _write_json(self, document: Any) -> None:
        stream = self.stdout.file if "stdout" in self.__dict__ else sys.stdout
        has_all = (getattr(stream, "encoding", None) or "utf-8").lower().startswith("utf")
        text = json.dumps(document, ensure_ascii=not has_all, indent=2, default=_as_json)
        stream.write(terminal_safe_json(text) + "\n")
        stream.flush()


def _has_colours(name: str) -> bool:
    # The two variables are Rich's own.
    return getattr(sys, name).isatty() or any(os.environ.get(v) for v in ("FORCE_COLOR", "TTY_COMPATIBLE"))


def _as_json(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, datetime):
        return value.replace(tzinfo=value.tzinfo or UTC).isoformat()
    return str(value)
