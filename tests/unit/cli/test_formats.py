from __future__ import annotations

import pytest

from ibutsu_tasks.cli.output.formats import format_seconds


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "–"),
        (0.004, "4 ms"),
        (0.354, "0.35 s"),
        (12.44, "12.4 s"),
        (59.94, "59.9 s"),
        (59.97, "1 min 0 s"),
        (119.7, "2 min 0 s"),
        (200, "3 min 20 s"),
        (3599.4, "59 min 59 s"),
        (8000, "2 h 13 min"),
        (1e9, "277,777 h 46 min"),
    ],
)
def test_durations(seconds: float | None, text: str) -> None:
    assert format_seconds(seconds) == text
