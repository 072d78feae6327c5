"""A broker that falls silent while connections stay up: a worker says so, lives on, and then works again."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.commands import run

if TYPE_CHECKING:
    from tests.chaos.stage import Stage

LIVE_WITHIN_SECONDS = 60
"""A worker whose loop stands still for longer is not live."""


@pytest.mark.parametrize("fault", [pytest.param("hang", marks=pytest.mark.soak), "one_way"])
def test_a_broker_that_falls_silent_in_the_middle_of_an_import(stage: Stage, fault: str) -> None:
    stage.replace_worker()
    with stage.import_underway() as import_id:
        getattr(stage.broker, fault)()
        stage.wait_for(lambda: stage.count_said("the broker is away"), "word of it")
    stage.broker.heal()
    stage.assert_done(import_id)
    assert stage.count_said("the broker is away") == 1


@pytest.mark.soak
def test_a_worker_is_live_while_its_broker_is_silent(stage: Stage) -> None:
    stage.broker.hang()
    until_seconds = time.monotonic() + 1.5 * LIVE_WITHIN_SECONDS
    while time.monotonic() < until_seconds:
        probe = run("probe", "live", "--role", "worker", env=stage.env)
        assert probe.returncode == 0, probe.stdout
        time.sleep(2)
    assert stage.count_said("the broker is away")
