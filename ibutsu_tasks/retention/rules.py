"""The retention rules of the task packages by name, and how ages are read."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING

from ibutsu_tasks.errors import UsageError
from ibutsu_tasks.packages import ALL_RULES, DAYS_PER_MONTH, MAX_AGE_DAYS, loaded
from ibutsu_tasks.text.quoting import cut
from ibutsu_tasks.text.words import counted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ibutsu_tasks.packages import RetentionRule

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


def all_rules() -> Mapping[str, RetentionRule]:
    """Give the rules by name, in the order in which they are run. Raises UsageError where there is none."""
    if not loaded().retention:
        raise UsageError(
            "No task package has a retention rule.", "`ibutsu-tasks packages` shows what each brings."
        )
    return loaded().retention


def find_rules(name: str) -> tuple[RetentionRule, ...]:
    """Give the rule of this name, or every rule in order for `all`. Raises UsageError with a suggestion."""
    return tuple(all_rules().values()) if name == ALL_RULES else (rule_named(name),)


def rule_named(name: str) -> RetentionRule:
    """Give the rule of this name. Raises UsageError with a suggestion."""
    rules = all_rules()
    if name in rules:
        return rules[name]
    known = (*rules, ALL_RULES)
    close = difflib.get_close_matches(name.lower(), known, n=1)
    raise UsageError(
        f"There is no retention rule {cut(name)!r}.",
        f"Did you mean {close[0]!r}?" if close else f"There are {', '.join(known)}.",
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
