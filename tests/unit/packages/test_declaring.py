"""What a task package may declare, and what is refused before anything of it is used."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest
from celery.schedules import crontab
from hypothesis import given
from hypothesis import strategies as st

from ibutsu_tasks.beat.due import schedule_of
from ibutsu_tasks.packages import (
    MAX_AGE_DAYS,
    Check,
    Importer,
    Queue,
    RetentionRule,
    Route,
    ScheduleRow,
    Setting,
    Subject,
    TaskPackage,
    broker_priority,
)
from ibutsu_tasks.packages.crontab import problem_of

NUMBERS = st.integers(0, 70).map(str)
WORDS = NUMBERS | st.sampled_from(["mon", "sun", "jan", "dec", "may", "x", ""])
PARTS = st.one_of(
    st.just("*"),
    WORDS,
    st.builds("*/{}".format, NUMBERS),
    st.builds("{}-{}".format, WORDS, WORDS),
    st.builds("{}-{}/{}".format, WORDS, WORDS, NUMBERS),
    st.builds("{}/{}".format, WORDS, NUMBERS),
)
FIELDS = st.lists(PARTS, min_size=1, max_size=2).map(",".join).filter(bool)


@given(st.lists(FIELDS, min_size=5, max_size=5).map(" ".join))
def test_what_is_taken_for_a_crontab_is_one_for_celery(when: str) -> None:
    if problem_of(when) is None:
        assert isinstance(schedule_of(ScheduleRow("row", when, "task")), crontab)


@given(
    st.tuples(
        st.integers(0, 59), st.integers(0, 23), st.integers(1, 29), st.integers(1, 12), st.integers(0, 6)
    )
)
def test_every_time_is_taken(numbers: tuple[int, ...]) -> None:
    assert problem_of(" ".join(map(str, numbers))) is None


@pytest.mark.parametrize(
    "when",
    [
        "*/15 * * * *",
        "0 2 1 * *",
        "0 2 29 2 *",
        "0 2 31 11-1 *",
        "30 3 * * sun",
        "0-30/10,45 8-18 * jan-mar mon-fri",
        300,
        0.5,
    ],
)
def test_the_usual_times_are_taken(when: str | float) -> None:
    assert problem_of(when) is None


@pytest.mark.parametrize(
    ("when", "problem"),
    [
        ("0 2 * *", "has the crontab '0 2 * *', which has not five fields"),
        ("60 2 * * *", "has the crontab '60 2 * * *': '60' is no minute"),
        ("0 2 0 * *", "has the crontab '0 2 0 * *': '0' is no day of the month"),
        ("0 2 * * 7", "has the crontab '0 2 * * 7': '7' is no day of the week"),
        ("*/0 * * * *", "has the crontab '*/0 * * * *': '*/0' is no minute"),
        ("5/10 * * * *", "has the crontab '5/10 * * * *': '5/10' is no minute"),
        ("0 2 30 2 *", "has the crontab '0 2 30 2 *', a day that never comes"),
        (
            "0 2 31 feb-apr/2,6,9-11/2 *",
            "has the crontab '0 2 31 feb-apr/2,6,9-11/2 *', a day that never comes",
        ),
        (None, "is due every None seconds, which is not from 0.1 s to ten years"),
        (1e-9, "is due every 1e-09 seconds, which is not from 0.1 s to ten years"),
        (0, "is due every 0 seconds, which is not from 0.1 s to ten years"),
        (-1.5, "is due every -1.5 seconds, which is not from 0.1 s to ten years"),
        (math.nan, "is due every nan seconds, which is not from 0.1 s to ten years"),
        (math.inf, "is due every inf seconds, which is not from 0.1 s to ten years"),
    ],
)
def test_what_is_no_time_is_refused(when: Any, problem: str) -> None:
    with pytest.raises(ValueError, match=r"^dump ") as refused:
        ScheduleRow("dump", when, "shop.dump")
    assert str(refused.value) == f"dump {problem}"


@pytest.mark.parametrize(
    ("make", "told"),
    [
        # One without its comma is no tuple, and a text is a row of letters.
        (lambda: TaskPackage(name="shop", tasks="shop.tasks"), "shop: tasks must be a tuple of str"),
        (lambda: TaskPackage(name="shop", queues=Queue("q")), "shop: queues must be a tuple of Queue"),
        (lambda: TaskPackage(name="shop", queues=("q",)), "shop: queues must be a tuple of Queue"),
        (lambda: TaskPackage(name=""), "A task package needs a name"),
        (lambda: Setting("rate", "RATE", "Of gold."), "rate: variables must be a tuple of str"),
        (lambda: Setting("rate", (), "Of gold."), "rate has no variable"),
        (lambda: Check("disk", "A-", "m:f", "broker"), "disk: needs must be a tuple of str"),
        (lambda: Subject("job_id", "shop.run"), "job_id: tasks must be a tuple of str"),
        (lambda: Importer("", "tap.import", "m:f", "m:f"), "The importer '' of the task 'tap.import' needs"),
        (lambda: Importer("tap", "tap.import", "m", "m:f"), "tap: recognizes must be module:name of a"),
        (lambda: Importer("tap", "tap.import", "m:f", None), "tap: reads must be module:name of a function"),  # type: ignore[arg-type]
        (lambda: ScheduleRow("dump", 60, "x", "all"), "dump: args must be a tuple of object"),
    ],
)
def test_what_is_written_in_another_way_is_refused(make: Any, told: str) -> None:
    with pytest.raises(ValueError, match=f"^{told}"):
        make()


def rule(**values: Any) -> RetentionRule:
    usual = {
        "name": "old-rates",
        "table": "rates",
        "date_column": "at",
        "task": "shop.clean",
        "help": "Rates.",
    }
    return RetentionRule(**usual | {"default_age_days": 90, "minimum_age_days": 30} | values)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        *(
            ({"name": name}, f"{name!r} is no name of a retention rule")
            for name in ("all", "", "-x", "old rates")
        ),
        ({"unit": "weeks"}, "old-rates counts 'weeks', which is neither days nor months"),
        ({"task": ""}, "old-rates has no task"),
        *(
            ({part: age}, f"old-rates: {part} must be a whole number from 1 to 365000, not {age!r}")
            for part in ("default_age_days", "minimum_age_days")
            for age in (0, -1, 1.5, True, "9", None, 365_001)
        ),
        ({"minimum_age_days": 91}, "old-rates: default_age_days is below minimum_age_days"),
        (
            {"unit": "months", "minimum_age_days": 45},
            "old-rates: minimum_age_days is no whole number of months",
        ),
    ],
)
def test_what_is_no_retention_rule_is_refused(values: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(told)}$"):
        rule(**values)


def test_a_retention_rule_may_be_of_any_age_in_the_calendar() -> None:
    oldest = rule(default_age_days=MAX_AGE_DAYS, minimum_age_days=MAX_AGE_DAYS)
    assert (oldest.refusal(MAX_AGE_DAYS), rule(unit="months").days_per_unit) == (None, 30)
    with pytest.raises(ValueError, match="shop: retention must be a tuple of RetentionRule"):
        TaskPackage(name="shop", retention=rule())  # type: ignore[arg-type]


def test_lists_will_do() -> None:
    assert TaskPackage(name="shop", queues=[Queue("q")]).queues == [Queue("q")]  # type: ignore[arg-type]


@pytest.mark.parametrize("priority", [-1, 10, 1.5, "9"])
def test_what_is_no_priority_is_refused(priority: Any) -> None:
    sentence = f"^x has the priority {priority!r}, which is not from 0 to 9$"
    with pytest.raises(ValueError, match=sentence):
        Route("x", "queue", priority)
    with pytest.raises(ValueError, match=sentence):
        ScheduleRow("x", 1, "task", priority=priority)


@given(st.integers(0, 9), st.integers(0, 9))
def test_the_higher_priority_is_the_lower_number_of_redis(one: int, other: int) -> None:
    numbers = broker_priority(one), broker_priority(other)
    assert (one > other) == (numbers[0] < numbers[1])  # type: ignore[operator]
