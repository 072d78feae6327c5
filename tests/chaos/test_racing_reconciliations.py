"""Reconciliations at the same moment, over imports whose messages are gone: each is sent once."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from ibutsu_tasks.broker.messages import waiting_ids
from ibutsu_tasks.wire_names import DEFAULT_QUEUE
from tests.chaos.conftest import JUNIT
from tests.commands import PROGRAM, Running, until
from tests.factories import make_import

if TYPE_CHECKING:
    from tests.chaos.conftest import Fleet

RACERS = 3
IMPORTS = 8
BUSY = "Lost imports are being looked for right now."
NO_AGE = {"IBUTSU_TASKS_IMPORT_STUCK_SECONDS": "0.1"}


@pytest.mark.soak
def test_each_lost_import_is_sent_once(fleet: Fleet) -> None:
    rows = [make_import(fleet.session, JUNIT) for _ in range(IMPORTS)]
    fleet.session.commit()
    words = (PROGRAM, "imports", "requeue", "--stuck")
    with ExitStack() as stack:
        with fleet.engine.connect() as holder:
            # All of them wait right before they see which imports there are, and go on together.
            holder.execute(text("lock table imports in access exclusive mode"))
            racers = [stack.enter_context(Running(*words, env=fleet.env | NO_AGE)) for _ in range(RACERS)]
            until(lambda: fleet.waiting_writers() == RACERS, 30)
            assert fleet.waiting_writers() == RACERS, [racer.output for racer in racers]
        codes = [racer.process.wait(30) for racer in racers]
    said = "\n".join(racer.output for racer in racers)
    assert codes.count(0) + said.count(BUSY) == RACERS, said
    assert fleet.client.llen(DEFAULT_QUEUE) == IMPORTS
    assert {row.id for row in rows} <= waiting_ids(fleet.client, [DEFAULT_QUEUE])
    with fleet.worker("after@here"):
        fleet.wait_until_ended(*rows, timeout_seconds=60)
    assert fleet.count_results() == 2 * IMPORTS
