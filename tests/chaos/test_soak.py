"""The promise that nothing is lost and nothing is twice, under a load that is disturbed all the time."""

from __future__ import annotations

import random
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from ibutsu_tasks.broker.connection import build_client
from tests.chaos.soak import Soak
from tests.commands import services

if TYPE_CHECKING:
    from sqlalchemy import Engine


@pytest.mark.parametrize("seconds", [60, pytest.param(1200, marks=pytest.mark.soak)])
def test_everything_accepted_is_accounted_for(
    broker_url: str, database_url: str, engine: Engine, seconds: float
) -> None:
    seed = random.randrange(2**32)  # noqa: S311 - not a secret
    with closing(build_client(broker_url)) as client:
        soak = Soak(client, services(broker_url, database_url), engine, seed)
        tally = soak.run(seconds)
        faults = list(soak.audit())
    print(f"seed {seed}: {tally}")  # noqa: T201 - the result
    assert faults == []
    assert sum(tally.faults.values()) > seconds / 20
