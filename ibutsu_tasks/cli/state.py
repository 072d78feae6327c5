"""What every command starts with: the options before its name, and the settings, read when first needed."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ibutsu_tasks.cli.output import Output
from ibutsu_tasks.cli.output.formats import plain
from ibutsu_tasks.errors import UsageError
from ibutsu_tasks.settings import Settings, read_settings
from ibutsu_tasks.settings.scratch import use_scratch
from ibutsu_tasks.settings.sources import LOCAL_STACK

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ibutsu_tasks.cli.output.result import Block


@dataclass
class CliState:
    """Options given before the command, and what follows from them."""

    options: dict[str, Any] = field(default_factory=dict)
    env_file: Path | None = None
    output: Output = field(default_factory=Output)

    @cached_property
    def readable_settings(self) -> Settings:
        """Settings from everywhere, with what cannot be used in their `problems`.

        Raises SettingsError when a file named cannot be read.
        """
        return read_settings(self.options, env_file=self.env_file)

    @cached_property
    def settings(self) -> Settings:
        """The same, all usable; from now on temporary files lie in the directory they name.

        Says on stderr what has no effect, and that a running local stack is used. Raises SettingsError that
        lists every problem, or says that the directory cannot be written.
        """
        settings = self.readable_settings
        for remark in settings.remarks:
            self.output.say(f"[yellow]Warning:[/] {plain(remark)}")
        settings.require_usable()
        use_scratch(settings.scratch_dir)
        if settings.sources.get("broker_url") == LOCAL_STACK:
            self.output.say(f"[dim]Using the local stack on {plain(str(settings.data_dir))}.[/]")
        return settings

    def choose_packages(self) -> None:
        """Read the settings, which say what task packages there are. Raises as `readable_settings`."""
        _ = self.readable_settings

    def with_options(self, **options: Any) -> CliState:
        """Give the same state with a command's own options on top; None means not given."""
        given = {name: value for name, value in options.items() if value is not None}
        return CliState(self.options | given, self.env_file, self.output)

    def confirm(self, question: str, *, yes: bool, instead: str, about: Iterable[Block] = ()) -> bool:
        """Ask before something is destroyed, unless `yes`.

        With `--json`, `about` is shown beside the question: nobody has seen it yet.

        Raises UsageError, naming `instead` as the harmless way, when nobody can answer.
        """
        if yes:
            return True
        if sys.stdin is None or not sys.stdin.isatty():
            raise UsageError(
                "There is no terminal to ask for confirmation.", f"Add --yes to go ahead, or {instead}."
            )
        if self.output.json_wanted:
            Output(on_stderr=True).show_now(about)
        return self.output.confirm(question)


def state_of(context: typer.Context, *, json_wanted: bool = False) -> CliState:
    """Give the state of this call."""
    state = context.ensure_object(CliState)
    state.output.json_wanted = json_wanted
    return state
