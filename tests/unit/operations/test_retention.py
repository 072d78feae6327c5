from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ibutsu_tasks.errors import RefusedError, SettingsError, UsageError
from ibutsu_tasks.ibutsu.database.models import Base
from ibutsu_tasks.ibutsu.retention import RETENTION_RULES, RULES_BY_NAME, ProjectAge, parse_project_ages
from ibutsu_tasks.ibutsu.schedule import SCHEDULE
from ibutsu_tasks.packages import MAX_AGE_DAYS, RetentionRule
from ibutsu_tasks.retention.due import DueRows, cutoff_at
from ibutsu_tasks.retention.rules import check_age, find_rules, parse_age, task_argument
from ibutsu_tasks.retention.run_prune import PruneSummary
from ibutsu_tasks.settings import load_settings
from ibutsu_tasks.text.quoting import cut

NOW = datetime(2026, 11, 21, 12)  # noqa: DTZ001 - the database's times are naive UTC
CASES = pytest.mark.parametrize("rule", RETENTION_RULES, ids=lambda rule: rule.name)


@CASES
def test_no_rule_asks_for_less_than_its_floor(rule: RetentionRule) -> None:
    assert rule.minimum_age_days <= rule.default_age_days
    assert rule.minimum_age_days % rule.days_per_unit == 0


@CASES
def test_beat_asks_for_the_default_age(rule: RetentionRule) -> None:
    (row,) = [row for row in SCHEDULE if row.task == rule.task]
    assert row.args == (rule.default_age_days // rule.days_per_unit,)


@CASES
def test_table_and_date_column_exist(rule: RetentionRule) -> None:
    assert rule.date_column in Base.metadata.tables[rule.table].c


def test_ages_grow_from_files_to_runs_in_the_order_the_rules_run() -> None:
    names = [rule.name for rule in RETENTION_RULES if rule.name != "imports"]
    assert names == ["files", "results", "runs"]
    for younger, older in pairwise(names):
        assert RULES_BY_NAME[younger].minimum_age_days < RULES_BY_NAME[older].minimum_age_days
        assert RULES_BY_NAME[younger].default_age_days < RULES_BY_NAME[older].default_age_days


def test_floors_are_those_of_the_ibutsu_server() -> None:
    floors = {rule.name: (rule.minimum_age_days // rule.days_per_unit, rule.unit) for rule in RETENTION_RULES}
    assert floors == {
        "imports": (1, "days"),
        "files": (2, "months"),
        "results": (4, "months"),
        "runs": (10, "months"),
    }


@pytest.mark.parametrize(
    ("name", "age_days", "sentence"),
    [
        ("imports", 0, "Skipped: days parameter (0) must be >= 1"),
        ("imports", -3, "Skipped: days parameter (-3) must be >= 1"),
        ("files", 30, "Skipped: months parameter (1) must be >= 2"),
        ("files", 45, "Skipped: months parameter (1.5) must be >= 2"),
        ("results", 119, "Skipped: months parameter (3.96667) must be >= 4"),
        ("runs", 299, "Skipped: months parameter (9.96667) must be >= 10"),
    ],
)
def test_below_the_floor_the_refusal_is_the_servers_sentence(name: str, age_days: int, sentence: str) -> None:
    assert RULES_BY_NAME[name].refusal(age_days) == sentence


@CASES
@given(days=st.integers())
def test_a_rule_runs_exactly_from_its_floor_on(rule: RetentionRule, days: int) -> None:
    assert (rule.refusal(days) is None) == (days >= rule.minimum_age_days)


@pytest.mark.parametrize(
    ("name", "tables"),
    [
        ("imports", ["imports", "import_files"]),
        ("files", ["artifacts"]),
        ("results", ["results", "artifacts"]),
        ("runs", ["runs", "results", "artifacts"]),
    ],
)
def test_what_hangs_on_a_rules_table_goes_with_it(name: str, tables: list[str]) -> None:
    assert [table.name for table in DueRows(RULES_BY_NAME[name], NOW).tables] == tables


def test_children_stand_after_all_their_parents() -> None:
    for rule in RETENTION_RULES:
        tables = DueRows(rule, NOW).tables
        for position, table in enumerate(tables):
            parents = {key.column.table for key in table.foreign_keys} & set(tables)
            assert parents <= set(tables[:position])


def test_an_artifact_is_never_taken_by_its_date_when_it_goes_with_a_result() -> None:
    due = DueRows(RULES_BY_NAME["results"], NOW)
    selection = str(due.select_all(Base.metadata.tables["artifacts"]))
    assert "upload_date" not in selection
    assert "run_id" not in selection


@pytest.mark.parametrize("age", ["365001d", "999999d", "999999999months", "60000w"])
def test_an_age_beyond_the_calendar_is_no_age(age: str) -> None:
    with pytest.raises(UsageError, match=f"'{age}' is an age beyond the calendar"):
        parse_age(age)
    with pytest.raises(SettingsError, match="beyond the calendar"):
        load_settings(environ={"IBUTSU_TASKS_RETENTION": f"demo:results={age}"})


@given(st.integers(min_value=1, max_value=MAX_AGE_DAYS))
def test_every_age_that_can_be_given_lies_in_the_calendar(age_days: int) -> None:
    assert (NOW - cutoff_at(parse_age(f"{age_days}d"), NOW)).days == age_days


@given(st.integers(min_value=0, max_value=700_000))
def test_cutoff_lies_the_age_before_now(age_days: int) -> None:
    assert (NOW - cutoff_at(age_days, NOW)).days == age_days


@pytest.mark.parametrize("age_days", [740_000, 10**9, 10**30])
def test_an_age_before_the_calendar_is_refused(age_days: int) -> None:
    with pytest.raises(RefusedError, match="not in the calendar"):
        cutoff_at(age_days, NOW)


def test_summary_is_json_with_every_key() -> None:
    summary = PruneSummary("files", 90, cutoff=NOW, deleted={"artifacts": 3}, size_bytes=30, seconds=1.23456)
    assert summary.as_json() == {
        "rule": "files",
        "older_than_days": 90,
        "cutoff": "2026-11-21T12:00:00Z",
        "deleted": {"artifacts": 3},
        "size_bytes": 30,
        "left": 0,
        "seconds": 1.235,
        "skipped": None,
        "stopped": False,
    }
    assert summary.as_json().keys() == replace(summary, skipped="Skipped", cutoff=None).as_json().keys()


@pytest.mark.parametrize(
    ("age", "days"),
    [
        ("90d", 90),
        ("1 day", 1),
        ("12w", 84),
        ("2 weeks", 14),
        ("5months", 150),
        ("1MONTH", 30),
        (" 3 days ", 3),
    ],
)
def test_ages_are_read(age: str, days: int) -> None:
    assert parse_age(age) == days


@pytest.mark.parametrize(
    "age", ["", "90", "d", "5m", "1.5months", "-3d", "0d", "3y", "٣d", "9" * 12 + "d", "3d4h"]
)
def test_what_is_no_age_is_refused_with_examples(age: str) -> None:
    with pytest.raises(UsageError, match="is not an age") as caught:
        parse_age(age)
    assert "90d" in caught.value.hint


@given(st.text())
def test_any_text_is_an_age_or_a_clear_error(age: str) -> None:
    try:
        days = parse_age(age)
    except UsageError as error:
        sentence = str(error)
    else:
        sentence = repr(cut(age)) if days > 0 else ""
    assert repr(cut(age)) in sentence


def test_all_means_every_rule_in_order() -> None:
    assert find_rules("all") == RETENTION_RULES
    assert find_rules("runs") == (RULES_BY_NAME["runs"],)


@CASES
@given(days=st.integers(min_value=1, max_value=3000))
def test_a_tasks_argument_means_the_same_age_or_is_refused(rule: RetentionRule, days: int) -> None:
    try:
        ((unit, amount),) = task_argument(rule, days).items()
    except UsageError:
        assert days % rule.days_per_unit
    else:
        assert (unit, amount * rule.days_per_unit) == (rule.unit, days)


@CASES
def test_the_command_refuses_what_the_rule_refuses(rule: RetentionRule) -> None:
    check_age(rule, rule.minimum_age_days)
    with pytest.raises(UsageError, match=f"floor of the rule {rule.name}"):
        check_age(rule, rule.minimum_age_days - 1)


def test_ages_of_projects_are_read_and_shown() -> None:
    ages = parse_project_ages(" demo:results=5months, a:b c:runs = NEVER ,,demo:files=12w")
    assert ages == (
        ProjectAge("demo", "results", 150),
        ProjectAge("a:b c", "runs", None),
        ProjectAge("demo", "files", 84),
    )
    assert ",".join(map(str, ages)) == "demo:results=150d,a:b c:runs=never,demo:files=84d"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("demo", "must be PROJECT:RULE=AGE"),
        (":runs=400d", "must be PROJECT:RULE=AGE"),
        ("demo:result=200d", "names no rule"),
        ("demo:all=400d", "names no rule"),
        ("demo:results=soon", "is not an age"),
        ("demo:results=90d", "below the floor"),
        ("demo:results=200d,demo:results=never", "two ages for demo:results"),
    ],
)
def test_a_wrong_age_of_a_project_is_one_sentence(text: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said) as caught:
        load_settings(environ={"IBUTSU_TASKS_RETENTION": text})
    assert "IBUTSU_TASKS_RETENTION" in str(caught.value)
