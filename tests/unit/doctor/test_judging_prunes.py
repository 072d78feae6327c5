"""What the doctor makes of the records of prunes."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from ibutsu_tasks.doctor.checks import prunes
from ibutsu_tasks.packages import ScheduleRow, loaded
from ibutsu_tasks.retention.history import SILENCE_SECONDS, PruneRecord, PruneState

NOW = datetime(2026, 11, 21, 12)  # noqa: DTZ001 - records hold naive UTC


def record(state: PruneState, days: float = 1, rule: str = "runs", **values: Any) -> PruneRecord:
    started = NOW - timedelta(days=days)
    given = {"seen": started, "by": "task", "where": "celery@w1", "rows": 1234} | values
    return PruneRecord(id="1", rule=rule, older_than_days=360, started=started, written_state=state, **given)


DONE, FAILED, SKIPPED = PruneState.DONE, PruneState.FAILED, PruneState.SKIPPED
RUNNING, STOPPED = PruneState.RUNNING, PruneState.STOPPED


@pytest.mark.parametrize(
    ("records", "due", "codes"),
    [
        ([], set(), ["IBT-P00"]),
        ([], {"runs", "imports"}, ["IBT-P10", "IBT-P10"]),
        ([record(DONE)], {"runs"}, ["IBT-P00"]),
        ([record(DONE, days=13.9)], {"runs"}, ["IBT-P00"]),
        ([record(DONE, days=14.1)], {"runs"}, ["IBT-P10"]),
        ([record(DONE, days=14.1)], set(), ["IBT-P00"]),
        ([record(DONE, days=2.1, rule="imports")], {"imports"}, ["IBT-P10"]),
        ([record(FAILED), record(DONE, days=2)], set(), ["IBT-P01"]),
        ([record(DONE), record(FAILED, days=2)], {"runs"}, ["IBT-P00"]),
        ([record(SKIPPED), record(FAILED, days=2)], {"runs"}, ["IBT-P01"]),
        ([record(SKIPPED), record(DONE, days=2)], {"runs"}, ["IBT-P00"]),
        ([record(STOPPED), record(DONE, days=20)], {"runs"}, ["IBT-P10"]),
        ([record(RUNNING, seen=NOW), record(DONE, days=2)], {"runs"}, ["IBT-P00"]),
        ([record(RUNNING), record(DONE, days=2)], {"runs"}, ["IBT-P02"]),
        ([record(DONE, left=1), record(DONE, days=13.9)], {"runs"}, ["IBT-P00"]),
        ([record(DONE, left=1), record(DONE, days=14.1)], {"runs"}, ["IBT-P10"]),
        ([record(FAILED), record(FAILED, rule="files")], {"runs", "files"}, ["IBT-P01", "IBT-P01"]),
    ],
)
def test_the_last_prune_of_each_rule_decides(
    records: list[PruneRecord], due: set[str], codes: list[str]
) -> None:
    found = prunes.judge(records, due, NOW)
    assert [item.code for item in found] == codes


def test_a_failure_tells_its_sentence_and_where_it_was() -> None:
    [found] = prunes.judge([record(FAILED, sentence="Pruning runs stopped after 7 rows.")], set(), NOW)
    assert "Pruning runs stopped after 7 rows." in found.seen
    assert "2026-11-20 12:00 UTC, by task on celery@w1" in found.seen
    assert "ibutsu-tasks prune runs" in found.hint


def test_a_prune_that_is_silent_for_long_is_lost() -> None:
    seen = NOW - timedelta(seconds=SILENCE_SECONDS)
    assert record(RUNNING, seen=seen).state(NOW) is RUNNING
    assert record(RUNNING, seen=seen - timedelta(seconds=1)).state(NOW) is PruneState.LOST
    assert record(DONE, seen=seen - timedelta(days=9)).state(NOW) is DONE


def test_every_rule_is_scheduled_with_an_age() -> None:
    for rule in loaded().retention.values():
        row = prunes.row_of(rule)
        assert row is not None
        assert prunes.age_days_of(row, rule) == rule.default_age_days
        assert prunes.period_of(row) in {timedelta(days=1), timedelta(days=7)}


@pytest.mark.parametrize(
    ("when", "period"),
    [
        (90.0, timedelta(seconds=90)),
        ("*/5 * * * *", timedelta(minutes=5)),
        ("0 3 * * 1-5", timedelta(days=3)),
        ("0 1 1 * *", timedelta(days=31)),
    ],
)
def test_the_longest_pause_of_a_schedule_is_its_period(when: str | float, period: timedelta) -> None:
    assert prunes.period_of(ScheduleRow("entry", when, "task")) == period
