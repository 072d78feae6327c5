"""How the reason of a message that was set aside is worded."""

from __future__ import annotations

import pytest

from ibutsu_tasks.delivery.dead.poison import BY_KILL, BY_WORKER, _how


@pytest.mark.parametrize(
    ("losses", "ended_by", "said"),
    [
        (1, BY_KILL, "killed by signal 9 (SIGKILL)"),
        (1, BY_WORKER, "lost by the end of its whole worker"),
        (2, BY_KILL, "killed 2 times, last by signal 9 (SIGKILL)"),
        (3, BY_WORKER, "lost three times, last by the end of its whole worker"),
    ],
)
def test_one_loss_is_not_counted(losses: int, ended_by: str, said: str) -> None:
    assert _how(losses, ended_by) == said
