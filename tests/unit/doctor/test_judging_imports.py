"""What the doctor makes of imports that have not ended."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

import pytest

from ibutsu_tasks.broker.whereabouts import Whereabouts
from ibutsu_tasks.ibutsu.doctor.imports import PERIOD_MINUTES, judge
from ibutsu_tasks.ibutsu.operations.imports.reconciliation import OpenImport
from ibutsu_tasks.ibutsu.schedule import SCHEDULE
from ibutsu_tasks.ibutsu.wire_names import RECONCILE_IMPORTS

NOW = datetime(2026, 11, 26, 12)  # noqa: DTZ001
OLD = [
    OpenImport(UUID(int=number), f"{number}.xml", "running", NOW - timedelta(hours=number))
    for number in (1, 2)
]
LOST = Whereabouts(lost=frozenset(one.import_id for one in OLD))
LONG_AGO, JUST_NOW = NOW - timedelta(hours=1), NOW - timedelta(minutes=4)


@pytest.mark.parametrize(
    ("where", "last", "code", "words"),
    [
        (Whereabouts(), None, "IBT-I00", "No import is stuck; 2 old ones wait for their turn or run."),
        (LOST, JUST_NOW, "IBT-I11", "2 imports neither ended"),
        (LOST, LONG_AGO, "IBT-I01", "the last time: last 2026-11-26 11:00 UTC"),
        (LOST, None, "IBT-I01", "the last time: never"),
        (Whereabouts(lost=LOST.lost, silent_workers=1), JUST_NOW, "IBT-I10", "2 imports neither ended"),
    ],
)
def test_findings(where: Whereabouts, last: datetime | None, code: str, words: str) -> None:
    [found] = judge(OLD, where, last, NOW)
    assert found.code == code
    assert words in found.seen
    if where.lost:
        assert f"the oldest, {UUID(int=2)}, is running since 2026-11-26 10:00 UTC." in found.seen
    assert bool(found.hint) is bool(where.lost)


def test_nothing_open_is_well() -> None:
    assert [item.seen for item in judge([], Whereabouts(), None, NOW)] == ["No import is stuck."]


def test_the_period_is_the_schedule_s() -> None:
    [row] = [row for row in SCHEDULE if row.task == RECONCILE_IMPORTS]
    assert row.when == f"*/{PERIOD_MINUTES} * * * *"
