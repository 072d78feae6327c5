"""What a policy may say, how long is waited by it, and the name of the work that a message asks for."""

from __future__ import annotations

import math
from typing import Any

import pytest

from ibutsu_tasks.settings import load_settings
from ibutsu_tasks.tasks import DatabaseTask, Policy
from ibutsu_tasks.tasks.retries import MAX_PAUSE_SECONDS


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"retries": -1}, "retries of a policy must be at least 0, not -1"),
        ({"pause_seconds": -0.5}, "pause_seconds of a policy must be at least 0, not -0.5"),
        ({"growth": 0}, "growth of a policy must be at least 1, not 0"),
        ({"growth": math.nan}, "growth of a policy must be at least 1, not nan"),
        ({"time_limit_seconds": 0}, "time_limit_seconds of a policy must be at least 0.1, not 0"),
        ({"soft_time_limit_seconds": -1}, "soft_time_limit_seconds of a policy must be at least 0.1, not -1"),
        ({"key_seconds": 0}, "key_seconds of a policy must be at least 1, not 0"),
        ({"most_losses": 0}, "most_losses of a policy must be at least 1, not 0"),
        ({"retry_on": [OSError]}, "retry_on of a policy must be a tuple of errors"),
    ],
)
def test_what_means_nothing_is_refused(fields: dict[str, Any], told: str) -> None:
    with pytest.raises((ValueError, TypeError), match=told):
        Policy(**fields)


def test_pauses_grow_to_ten_minutes_however_often() -> None:
    policy, settings = Policy(pause_seconds=2, growth=3.0), load_settings(environ={})
    assert [policy.pause_after(number, settings) for number in (1, 2, 3)] == [2, 6, 18]
    assert [policy.pause_after(number, settings) for number in (10, 10_000)] == [MAX_PAUSE_SECONDS] * 2


def test_a_message_without_a_key_is_work_of_its_own() -> None:
    class Task(DatabaseTask):
        name = "shop.order"
        policy = Policy(key=lambda order: order or None)

    assert [Task().work_name([order], {}) for order in ("7", "")] == ["shop.order:7", None]
