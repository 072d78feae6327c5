from __future__ import annotations

import shlex
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from ibutsu_tasks.cli.output.formats import without_markup
from ibutsu_tasks.cli.output.result import Note
from ibutsu_tasks.cli.prune import history
from ibutsu_tasks.cli.prune.view import archive_blocks, left_messages
from ibutsu_tasks.ibutsu.operations.archives.archiver import Archives
from ibutsu_tasks.retention.history import PruneRecord
from ibutsu_tasks.retention.run_prune import PruneSummary


@pytest.mark.parametrize("directory", ["/backup/ibutsu", "/my backup", "it's; rm -rf [x]"])
def test_the_command_that_brings_archives_back_can_be_pasted(directory: str) -> None:
    *_, hint = archive_blocks(Archives(Path(directory), files=1))
    assert isinstance(hint, Note)
    command = without_markup(hint.markup).split("`")[1]
    assert shlex.split(command) == ["ibutsu-tasks", "import", f"{directory}/*.tar.gz"]


@pytest.mark.parametrize(
    ("left", "said"),
    [
        (1, "1 due row of runs is in use and was left."),
        (1234, "1,234 due rows of runs are in use and were left."),
    ],
)
def test_one_row_is_one_row(left: int, said: str) -> None:
    first, _ = left_messages([PruneSummary("runs", 360, left=left)])
    assert without_markup(first) == said


@pytest.mark.parametrize(
    ("silent_seconds", "sentence"),
    [
        (5, None),
        (60, "It is running a long statement or was killed; last seen"),
        (1000, "It never said how it ended: its process was killed."),
    ],
)
def test_a_prune_that_shows_no_sign_of_life_is_not_said_to_run_for_certain(
    silent_seconds: float, sentence: str | None
) -> None:
    now = datetime(2026, 11, 21, 8)  # noqa: DTZ001 - UTC
    seen = now - timedelta(seconds=silent_seconds)
    record = PruneRecord("id", "runs", 90, seen, seen, "command", "host")
    told = str(list(history._blocks([(record, record.state(now))], now)))
    assert ("killed" in told) == (sentence is not None)
    assert (sentence or "") in told
