"""When entries are due: crontabs in UTC, and runs that were missed."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from celery import Celery
from celery.schedules import crontab
from hypothesis import given
from hypothesis import strategies as st

from ibutsu_tasks.beat.due import SKIPPED_AFTER, due_of
from ibutsu_tasks.beat.message import DUE_HEADER, encode
from ibutsu_tasks.beat.state import Runs
from ibutsu_tasks.doctor.checks.prunes import period_of
from ibutsu_tasks.ibutsu.schedule import SCHEDULE
from ibutsu_tasks.packages import Missed, ScheduleRow

MOMENTS = st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


def due(when: str, last: datetime | None, now: datetime, missed: Missed = Missed.ONCE) -> datetime:
    row = ScheduleRow("entry", when, "task", missed=missed)
    return due_of(row, Runs(now, last={"entry": last} if last else {}))


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("when", "last", "wanted"),
    [
        ("0 2 * * *", "2026-03-04T02:00", "2026-03-05T02:00"),
        ("0 2 * * *", "2026-03-04T01:59:59", "2026-03-04T02:00"),
        ("0 4 * * 6", "2026-03-04T04:00", "2026-03-07T04:00"),
        ("0 4 * * 6", "2026-03-07T04:00:01", "2026-03-14T04:00"),
        ("*/30 * * * *", "2026-12-31T23:30:05", "2027-01-01T00:00"),
        ("0 2 29 2 *", "2026-03-04T02:00", "2028-02-29T02:00"),
    ],
)
def test_the_next_run_follows_the_last(when: str, last: str, wanted: str) -> None:
    assert due(when, at(last), at(last)) == at(wanted)


@given(MOMENTS, st.sampled_from(SCHEDULE))
def test_an_entry_that_ran_is_due_later_and_within_its_period(last: datetime, row: ScheduleRow) -> None:
    moment = due(row.when, last, last)
    assert timedelta(0) < moment - last <= period_of(row)
    assert (moment.second, moment.microsecond, moment.tzinfo) == (0, 0, UTC)


@given(MOMENTS, st.sampled_from(SCHEDULE))
def test_celery_would_send_it_then_too(last: datetime, row: ScheduleRow) -> None:
    moment = due(row.when, last, last)
    for now, is_due in ((moment - timedelta(seconds=1), False), (moment, True)):
        app = Celery(timezone="UTC", set_as_current=False)
        minute, hour, day, month, weekday = row.when.split()
        clock = {"nowfun": lambda now=now: now, "app": app}
        assert crontab(minute, hour, weekday, day, month, **clock).is_due(last).is_due is is_due


@pytest.mark.parametrize("missed", Missed)
def test_of_runs_that_were_missed_one_is_due_or_none(missed: Missed) -> None:
    now = at("2026-03-04T12:00")
    moment = due("0 2 * * *", now - timedelta(days=5), now, missed)
    assert (moment <= now) is (missed is Missed.ONCE)
    # It ran: nothing is due any more, whatever was missed.
    assert due("0 2 * * *", now, now, missed) == at("2026-03-05T02:00")


def test_a_run_that_is_a_little_late_was_not_missed() -> None:
    last, day = at("2026-03-03T02:00"), at("2026-03-04T02:00")
    late, too_late = day + SKIPPED_AFTER / 2, day + 2 * SKIPPED_AFTER
    assert due("0 2 * * *", last, late, Missed.SKIP) == day
    assert due("0 2 * * *", last, too_late, Missed.SKIP) == day + timedelta(days=1)


def test_an_entry_that_never_ran_is_due_next_time() -> None:
    assert due("0 2 * * *", None, at("2026-03-04T01:00")) == at("2026-03-04T02:00")


def test_messages_say_for_when_they_are_and_leave_none_behind() -> None:
    app = Celery(set_as_current=False, backend="disabled://")
    messages = [json.loads(encode(app, "some.task", (3,), moment).message) for moment in ("one", "two")]
    assert [message["headers"][DUE_HEADER] for message in messages] == ["one", "two"]
