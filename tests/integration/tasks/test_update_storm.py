"""Many requests to recompute a run cost two passes, and the last state wins."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ibutsu_tasks.ibutsu.database.models import Run
from ibutsu_tasks.ibutsu.run_lock import LONGEST_WAIT_SECONDS, QUIET_SECONDS
from tests.commands import until
from tests.factories import make_result, make_run
from tests.pass_counting import COUNT_PASSES, FORGET_PASSES, bursts_in, passes_of

if TYPE_CHECKING:
    from uuid import UUID

    from tests.worker_system import System

RUNS, MESSAGES = 5, 500


def test_a_storm_of_requests_costs_two_passes_a_run(system: System) -> None:
    system.session.execute(COUNT_PASSES)
    ids = [make_run(system.session).id for _ in range(RUNS)]
    system.session.commit()
    try:
        moments: dict[UUID, list[float]] = {run_id: [] for run_id in ids}
        for number in range(MESSAGES):
            run = system.session.get_one(Run, ids[number % RUNS])
            moments[run.id].append(time.monotonic())
            make_result(system.session, run)
            system.session.commit()
            system.publish("runs.update_run", f'"{run.id}"')
        until(lambda: [system.tests_of(run_id) for run_id in ids] == [MESSAGES // RUNS] * RUNS)
        assert [system.tests_of(run_id) for run_id in ids] == [MESSAGES // RUNS] * RUNS
        until(lambda: False, 2 * QUIET_SECONDS)
        for run_id in ids:
            # A slow machine makes a burst so long that it is looked at before its end.
            looks_between = (moments[run_id][-1] - moments[run_id][0]) // LONGEST_WAIT_SECONDS
            assert passes_of(system.session, run_id) <= 2 * bursts_in(moments[run_id]) + looks_between
    finally:
        system.session.rollback()
        system.session.execute(FORGET_PASSES)
        system.session.commit()
