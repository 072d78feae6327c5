"""The log of a command that lives on, begun before its options are read: these may be what is wrong."""

from __future__ import annotations

import os
from itertools import pairwise
from typing import TYPE_CHECKING

from ibutsu_tasks.errors import SettingsError
from ibutsu_tasks.logs import configure_role_logs
from ibutsu_tasks.settings import Settings, read_own_settings, read_settings, setting_rows

if TYPE_CHECKING:
    from collections.abc import Callable

    from ibutsu_tasks.cli.state import CliState

HELP = frozenset({"-h", "--help"})


def begin_log(state: CliState, role: str, words: list[str]) -> None:
    """Have all that this process writes be objects, where its settings or its `words` ask for that."""
    if HELP & set(words):
        return
    asked = _asked(words)
    settings = _settings(read_own_settings, state, asked)
    if settings.log_format == "json":
        # Task packages may write something while they are loaded, and have secrets of their own.
        configure_role_logs(settings, role)
        configure_role_logs(_settings(read_settings, state, asked), role)


def _settings(read: Callable[..., Settings], state: CliState, asked: dict[str, str]) -> Settings:
    try:
        return read(state.options | asked, env_file=state.env_file)
    except SettingsError:
        # The command will say that a file cannot be read; how it says so is left to the environment.
        variable = setting_rows()["log_format"].variables[0]
        return Settings(log_format=asked.get("log_format") or os.environ.get(variable, ""))


def _asked(words: list[str]) -> dict[str, str]:
    """Find the option among words that may be wrong in other places."""
    own = words[: words.index("--")] if "--" in words else words
    for word, following in pairwise([*own, ""]):
        flag, _, value = word.partition("=")
        if flag in setting_rows()["log_format"].flags:
            return {"log_format": value or following}
    return {}
