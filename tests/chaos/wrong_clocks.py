"""Processes that go by a clock an hour ahead or behind, by libfaketime."""

from __future__ import annotations

from pathlib import Path

import pytest

LIBRARY = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)

needs_wrong_clocks = pytest.mark.skipif(
    LIBRARY is None, reason="libfaketime, the package `faketime`, is not installed"
)


def an_hour(way: str) -> dict[str, str]:
    """Have a process go by a clock that is an hour `+` ahead or `-` behind."""
    return {"LD_PRELOAD": str(LIBRARY), "FAKETIME": f"{way}1h", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
