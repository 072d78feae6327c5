"""The signs of life of a process, where they cannot be written down."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ibutsu_tasks.health import pulse
from ibutsu_tasks.health.heartbeat import private_directory, read_all
from ibutsu_tasks.settings import load_settings

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

TOLD = "the heartbeat cannot be written, so probes will fail: "


def test_that_no_heartbeat_can_be_written_is_told_once_each_time_it_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(pulse, "WRITE_SECONDS", 0.0)
    scratch = tmp_path / "scratch"
    monkeypatch.setenv("IBUTSU_TASKS_SCRATCH_DIR", str(scratch))
    own = pulse.Pulse("flower", load_settings())
    for told in (1, 2):
        for _ in range(3):
            own.tick()
        assert [TOLD in message for message in caplog.messages] == [True] * told
        assert "No such file or directory" in caplog.messages[-1]
        scratch.mkdir()
        own.tick()
        directory = private_directory(str(scratch))
        assert [one.role for one in read_all(directory)] == ["flower"]
        scratch.rename(tmp_path / f"away-{told}")
