"""What a shell completes: names that people would else look up."""

from __future__ import annotations

import pytest

from tests.commands import run
from tests.packaged import ATTIC


@pytest.mark.parametrize(
    ("line", "completed"),
    [
        ("enqueue update_", ["update_run"]),
        ("enqueue prune_old_r", ["prune_old_results", "prune_old_runs"]),
        ("doctor --only b", ["broker", "backend", "beat"]),
        ("doctor --only broker,w", ["broker,workers"]),
        ("worker --loglevel d", ["debug"]),
        ("beat -l w", ["warning"]),
        ("worker --log-format j", ["json"]),
        ("prune ru", ["runs"]),
        ("prune o", ["old-boxes", "old-days"]),
        ("prune a", ["all"]),
    ],
)
def test_names_are_completed(line: str, completed: list[str]) -> None:
    words = f"ibutsu-tasks {line}"
    env = {"_IBUTSU_TASKS_COMPLETE": "complete_bash", "COMP_WORDS": words, **ATTIC}
    done = run(env={**env, "COMP_CWORD": str(len(words.split()) - 1)})
    assert done.stdout.split() == completed
