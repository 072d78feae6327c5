"""The retention rules, one row each in the order they are run, and how ages are read, of single projects too.

Ages grow from `files` over `results` to `runs`, for the dependants of a row go with it: a younger age for
`runs` than for `results` would make the second rule idle.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import Literal

from ibutsu_tasks.errors import UsageError
from ibutsu_tasks.ibutsu.wire_names import (
    PRUNE_OLD_FILES,
    PRUNE_OLD_IMPORT_FILES,
    PRUNE_OLD_RESULTS,
    PRUNE_OLD_RUNS,
)
from ibutsu_tasks.text.quoting import cut
from ibutsu_tasks.text.words import counted

DAYS_PER_MONTH = 30
"""The Ibutsu server counts months as 30 days."""

MAX_AGE_DAYS = 365_000
"""A thousand years: a date that much earlier is still in the calendars of Python and PostgreSQL."""


@dataclass(frozen=True, slots=True)
class RetentionRule:
    """Rows of `table` whose `date_column` is older than an age go, with all their dependants.

    Below `minimum_age_days` a rule refuses to run: the floors are the Ibutsu server's (files 2 months,
    results 4, runs 10, imports 1 day). `default_age_days` is what beat asks for. `task` is the wire name
    of the task that runs the rule, and `unit` the name of its only argument.
    """

    name: str
    table: str
    date_column: str
    default_age_days: int
    minimum_age_days: int
    unit: Literal["days", "months"]
    task: str
    help: str

    @property
    def days_per_unit(self) -> int:
        """Days in one of the task's units."""
        return 1 if self.unit == "days" else DAYS_PER_MONTH

    def refusal(self, age_days: int) -> str | None:
        """Say why the rule does not run at `age_days`, in the Ibutsu server's words; None when it does."""
        if age_days >= self.minimum_age_days:
            return None
        given, least = age_days / self.days_per_unit, self.minimum_age_days // self.days_per_unit
        return f"Skipped: {self.unit} parameter ({given:g}) must be >= {least}"


RETENTION_RULES = (
    RetentionRule(
        name="imports",
        table="imports",
        date_column="created",
        default_age_days=7,
        minimum_age_days=1,
        unit="days",
        task=PRUNE_OLD_IMPORT_FILES,
        help="uploaded files and their import records",
    ),
    RetentionRule(
        name="files",
        table="artifacts",
        date_column="upload_date",
        default_age_days=3 * DAYS_PER_MONTH,
        minimum_age_days=2 * DAYS_PER_MONTH,
        unit="months",
        task=PRUNE_OLD_FILES,
        help="artifacts",
    ),
    RetentionRule(
        name="results",
        table="results",
        date_column="start_time",
        default_age_days=5 * DAYS_PER_MONTH,
        minimum_age_days=4 * DAYS_PER_MONTH,
        unit="months",
        task=PRUNE_OLD_RESULTS,
        help="results and their artifacts",
    ),
    RetentionRule(
        name="runs",
        table="runs",
        date_column="start_time",
        default_age_days=12 * DAYS_PER_MONTH,
        minimum_age_days=10 * DAYS_PER_MONTH,
        unit="months",
        task=PRUNE_OLD_RUNS,
        help="runs, their results and artifacts",
    ),
)


@dataclass(frozen=True, slots=True)
class ProjectAge:
    """Rows of `rule` in one project, by name or id, go at an age of their own; None is never."""

    project: str
    rule: str
    age_days: int | None

    def __str__(self) -> str:
        age = NEVER if self.age_days is None else f"{self.age_days}d"
        return f"{self.project}:{self.rule}={age}"


RULES_BY_NAME = {rule.name: rule for rule in RETENTION_RULES}

DATE_COLUMNS = {rule.table: rule.date_column for rule in RETENTION_RULES}
"""The date that says how old a row of a table is; rows of others have the age of what they depend on."""

ALL_RULES = "all"
NEVER = "never"

_PROJECT_AGE = re.compile(r"(?P<project>.*\S)\s*:\s*(?P<rule>\w+)\s*=\s*(?P<age>.+)")

_AGE = re.compile(r"(?P<number>[0-9]{1,9})\s*(?P<unit>d|days?|w|weeks?|months?)", re.IGNORECASE)
_DAYS_PER_LETTER = {"d": 1, "w": 7, "m": DAYS_PER_MONTH}


def parse_age(age: str) -> int:
    """Read `90d`, `12w` or `5months` as days; a month is 30 days.

    Raises UsageError for anything else, for no time at all, and for more than `MAX_AGE_DAYS`.
    """
    match = _AGE.fullmatch(age.strip())
    days = int(match["number"]) * _DAYS_PER_LETTER[match["unit"][0].lower()] if match else 0
    if not days:
        raise UsageError(f"{cut(age)!r} is not an age.", "Give days, weeks or months: 90d, 12w, 5months.")
    if days > MAX_AGE_DAYS:
        raise UsageError(f"{age!r} is an age beyond the calendar.", f"Give at most {MAX_AGE_DAYS}d.")
    return days


def parse_project_ages(text: str) -> tuple[ProjectAge, ...]:
    """Read `demo:results=120d, archive:runs=never`; ages are those of `parse_age`.

    Raises ValueError for what is no such entry, an unknown rule, an age below the rule's floor, and two
    ages for one project and rule.
    """
    read: dict[tuple[str, str], ProjectAge] = {}
    for entry in filter(None, map(str.strip, text.split(","))):
        age = _parse_project_age(entry)
        if read.setdefault((age.project, age.rule), age) is not age:
            raise ValueError(f"has two ages for {cut(f'{age.project}:{age.rule}')}")
    return tuple(read.values())


def _parse_project_age(entry: str) -> ProjectAge:
    match = _PROJECT_AGE.fullmatch(entry)
    if match is None:
        raise ValueError(f"must be PROJECT:RULE=AGE separated by commas, not {cut(entry)!r}")
    try:
        rule = RULES_BY_NAME[match["rule"]]
        age_days = None if match["age"].lower() == NEVER else parse_age(match["age"])
        if age_days is not None:
            check_age(rule, age_days)
    except KeyError:
        raise ValueError(f"names no rule in {cut(entry)!r}: there are {', '.join(RULES_BY_NAME)}") from None
    except UsageError as error:
        raise ValueError(f"is wrong in {cut(entry)!r}: {str(error).removesuffix('.')}") from None
    return ProjectAge(match["project"], rule.name, age_days)


def find_rules(name: str) -> tuple[RetentionRule, ...]:
    """Give the rule of this name, or every rule in order for `all`. Raises UsageError with a suggestion."""
    if name == ALL_RULES:
        return RETENTION_RULES
    if name in RULES_BY_NAME:
        return (RULES_BY_NAME[name],)
    names = (*RULES_BY_NAME, ALL_RULES)
    close = difflib.get_close_matches(name.lower(), names, n=1)
    raise UsageError(
        f"There is no retention rule {cut(name)!r}.",
        f"Did you mean {close[0]!r}?" if close else f"There are {', '.join(names)}.",
    )


def check_age(rule: RetentionRule, age_days: int) -> None:
    """Raise UsageError when `rule` does not run at this age."""
    if rule.refusal(age_days):
        least = rule.minimum_age_days // rule.days_per_unit
        raise UsageError(
            f"{counted(age_days, 'day')} is below the floor of the rule {rule.name}: {rule.table} "
            f"younger than {counted(least, rule.unit.removesuffix('s'))} are never deleted.",
            f"Give --older-than {rule.minimum_age_days}d or more.",
        )


def task_argument(rule: RetentionRule, age_days: int) -> dict[str, int]:
    """Give the argument of the rule's task that means this age. Raises UsageError when none does."""
    amount, rest = divmod(age_days, rule.days_per_unit)
    if rest:
        raise UsageError(
            f"The task of the rule {rule.name} counts whole months of {DAYS_PER_MONTH} days, "
            f"and {counted(age_days, 'day')} is none.",
            f"Give --older-than {amount + 1}months, or prune without --enqueue.",
        )
    return {rule.unit: amount}
