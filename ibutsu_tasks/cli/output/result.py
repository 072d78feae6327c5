"""What a command came to: the data, the same as text for people, what is said of it, and the exit code.

Commands return a `Result`; `Output.render` alone decides whether it becomes text or JSON.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ibutsu_tasks.cli.exit_codes import ExitCode, exit_code_of
from ibutsu_tasks.cli.output.formats import plain_lines

if TYPE_CHECKING:
    from ibutsu_tasks.errors import IbutsuTasksError


@dataclass(frozen=True, slots=True)
class Table:
    """A table on stdout. Cells are markup; columns in `right` are numbers, those in `fold` may wrap.

    Where it is wider than the terminal, the first `heads` columns stand on a line above the others.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    title: str | None = None
    right: Sequence[str] = ()
    fold: Sequence[str] = ()
    width_limit: int | None = None
    heads: int = 1


@dataclass(frozen=True, slots=True)
class Note:
    """A line of markup on stderr that only people need; with `--json` it is left out."""

    markup: str


@dataclass(frozen=True, slots=True)
class Document:
    """A JSON value on stdout, as a person sees it too: the result of a task."""

    value: Any


Block = str | Table | Note | Document
"""What people see of a result. A `str` is a line of markup on stdout."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a command came to.

    `data` are JSON values, the document of `--json` behind its `version`; `blocks` say the same to people.
    `messages` are lines of markup for stderr in both cases: warnings, failures, what to try.
    """

    data: Mapping[str, Any] = field(default_factory=dict)
    blocks: Sequence[Block] = ()
    messages: Sequence[str] = ()
    exit_code: ExitCode = ExitCode.DONE


def failure(error: IbutsuTasksError, data: Mapping[str, Any] | None = None) -> Result:
    """Give what a foreseen error comes to: what is wrong, then what to do; `data` is what was done before."""
    messages = [f"[bold red]Error:[/] {plain_lines(str(error))}"]
    if error.hint:
        messages.append(f"[bold]Try:[/] {plain_lines(error.hint)}")
    told = {"error": str(error), "hint": error.hint or None, **(data or {})}
    return Result(told, messages=messages, exit_code=exit_code_of(error))
