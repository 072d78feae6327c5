"""What was sent again waits for its pause, and no longer."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ibutsu_tasks.delivery.pauses import LONGEST_PAUSE_SECONDS, PAUSE_HEADER, limited_eta


def test_an_eta_by_a_clock_that_is_ahead_ends_with_the_pause() -> None:
    now = datetime.now(UTC)
    eta = limited_eta({PAUSE_HEADER: 5}, now + timedelta(hours=1))
    assert eta is not None
    assert timedelta(seconds=5) <= eta - now < timedelta(minutes=1)


@pytest.mark.parametrize("pause_seconds", [None, "5", -1, LONGEST_PAUSE_SECONDS + 1, float("nan"), 1e300])
def test_what_is_no_pause_of_ours_changes_nothing(pause_seconds: Any) -> None:
    eta = datetime.now(UTC) + timedelta(hours=2)
    assert limited_eta({PAUSE_HEADER: pause_seconds}, eta) == eta


def test_an_eta_that_is_sooner_stays() -> None:
    eta = datetime.now(UTC) - timedelta(hours=1)
    assert limited_eta({PAUSE_HEADER: 5}, eta) == eta
    assert limited_eta({PAUSE_HEADER: 5}, None) is None
