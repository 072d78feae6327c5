"""Ibutsu's retention rules, one row each in the order they are run, and the ages of single projects.

Ages grow from `files` over `results` to `runs`, for the dependants of a row go with it: a younger age for
`runs` than for `results` would make the second rule idle. The floors are the Ibutsu server's: files 2 months,
results 4, runs 10, imports 1 day.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ibutsu_tasks.errors import UsageError
from ibutsu_tasks.ibutsu.wire_names import (
    PRUNE_OLD_FILES,
    PRUNE_OLD_IMPORT_FILES,
    PRUNE_OLD_RESULTS,
    PRUNE_OLD_RUNS,
)
from ibutsu_tasks.packages import DAYS_PER_MONTH, RetentionRule
from ibutsu_tasks.retention.rules import check_age, parse_age
from ibutsu_tasks.text.quoting import cut

OWN_AGES = "ibutsu_tasks.ibutsu.operations.project_ages:cutoffs"

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
        own_ages=OWN_AGES,
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
        own_ages=OWN_AGES,
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
        own_ages=OWN_AGES,
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
        own_ages=OWN_AGES,
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

NEVER = "never"

_PROJECT_AGE = re.compile(r"(?P<project>.*\S)\s*:\s*(?P<rule>\w+)\s*=\s*(?P<age>.+)")


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
