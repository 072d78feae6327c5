"""The one directory that is written to."""

from __future__ import annotations

import os
import tempfile
from typing import TYPE_CHECKING

import pytest

from ibutsu_tasks.errors import SettingsError
from ibutsu_tasks.settings.scratch import use_scratch
from tests.commands import run_here

if TYPE_CHECKING:
    from pathlib import Path


def test_temporary_files_lie_there_even_where_others_were_made_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", tempfile.gettempdir())
    monkeypatch.setenv("TMPDIR", os.environ.get("TMPDIR", "/tmp"))  # noqa: S108 - restored at the end
    use_scratch(None)
    assert tempfile.gettempdir() != str(tmp_path)
    use_scratch(tmp_path)
    with tempfile.NamedTemporaryFile() as file:
        assert file.name.startswith(f"{tmp_path}/")


@pytest.mark.parametrize("name", ["missing", "file", "n" * 300])
def test_a_place_that_cannot_be_written_is_refused_by_name(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match=f"{name}, which is no directory that can be written"):
        use_scratch(tmp_path / name)


def test_a_role_does_not_start_without_it(tmp_path: Path) -> None:
    env = {
        "CELERY_BROKER_URL": "redis://127.0.0.1:1/0",
        "IBUTSU_TASKS_SCRATCH_DIR": str(tmp_path / "missing"),
    }
    done = run_here("beat", env=env)
    assert (done.returncode, "Traceback" in done.stderr) == (3, False)
    assert "IBUTSU_TASKS_SCRATCH_DIR names" in done.stderr
