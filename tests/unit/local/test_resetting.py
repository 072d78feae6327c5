from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ibutsu_tasks.local.servers.directories import reset_command

if TYPE_CHECKING:
    import pytest


def test_the_command_names_any_other_place_than_the_default(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    default = tmp_path / "ibutsu-tasks"
    assert reset_command(default) == "`ibutsu-tasks up --reset`"
    assert reset_command(Path("/my data")) == "`ibutsu-tasks up --reset --data-dir '/my data'`"
    monkeypatch.setenv("IBUTSU_TASKS_DATA_DIR", str(default))
    assert reset_command(default) == f"`ibutsu-tasks up --reset --data-dir {default}`"
