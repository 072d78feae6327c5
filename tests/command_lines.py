"""Command lines and environments of examples, read by the real command line and settings; nothing starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ibutsu_tasks.cli import COMMANDS, load_command
from ibutsu_tasks.cli.state import CliState
from ibutsu_tasks.settings import Settings, read_settings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROWS = {row.name: row for row in COMMANDS}


def read_command_line(words: Sequence[str]) -> None:
    """Parse what stands after `ibutsu-tasks`. Raises what Click raises for what it cannot read."""
    name, *rest = words
    load_command(ROWS[name]).make_context(name, rest, obj=CliState()).close()


def read_environment(environment: Mapping[str, str]) -> Settings:
    """Read the settings from an environment in which each variable is one and each value can be used."""
    settings = read_settings(environ=environment)
    assert not settings.problems
    assert not settings.remarks
    settings.require_broker()
    return settings
