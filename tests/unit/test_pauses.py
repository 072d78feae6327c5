"""What was sent again waits for its pause, and no longer, by the clock of Redis."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ibutsu_tasks.delivery.pauses import LONGEST_PAUSE_SECONDS, PAUSE_HEADER, eta_here, has_pause, is_waiting

PAUSE = timedelta(seconds=5)
HEADERS = {PAUSE_HEADER: PAUSE.total_seconds()}
HOUR = timedelta(hours=1)


@pytest.mark.parametrize("ahead", [-HOUR, timedelta(), HOUR])
@pytest.mark.parametrize(
    ("eta_in", "rest"),
    [(PAUSE, PAUSE), (PAUSE / 2, PAUSE / 2), (HOUR, PAUSE), (-HOUR, timedelta())],
)
def test_the_rest_of_a_pause_is_waited_for_wherever_the_clock_of_this_host_stands(
    ahead: timedelta, eta_in: timedelta, rest: timedelta
) -> None:
    redis_now = datetime.now(UTC) + ahead
    before = datetime.now(UTC)
    eta = eta_here(HEADERS, redis_now + eta_in, redis_now)
    assert before + rest <= eta <= datetime.now(UTC) + rest


@pytest.mark.parametrize("pause_seconds", [None, "5", -1, LONGEST_PAUSE_SECONDS + 1, float("nan"), 1e300])
def test_what_is_no_pause_of_ours_is_none(pause_seconds: Any) -> None:
    assert has_pause(HEADERS)
    assert not has_pause({PAUSE_HEADER: pause_seconds})


@pytest.mark.parametrize("zone", ["+00:00", ""])
def test_a_message_waits_until_its_time_by_the_clock_of_redis(zone: str) -> None:
    message = {"headers": {"eta": f"2030-01-01T12:00:00{zone}"}}
    noon = datetime(2030, 1, 1, 12, tzinfo=UTC)
    assert is_waiting(message, noon - timedelta(seconds=1))
    assert not is_waiting(message, noon)
    for eta in (None, "soon", 7):
        assert not is_waiting({"headers": {"eta": eta}}, noon)
