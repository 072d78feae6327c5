"""The counts that a file states of itself, held against what its results show."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ibutsu_tasks.ibutsu.importers.summary_counts import STATUS_BY_COUNT

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

_ONE_OF = {"passes": "pass", "xpasses": "xpass"}


def _amount(number: int, key: str) -> str:
    noun = _ONE_OF.get(key, key.removesuffix("s")) if number == 1 else key
    return f"{number:,} {noun}"


def claim_warning(who: str, key: str, stated: int, shown: int) -> str:
    """Say that somebody states more than there is; `key` is one of a run's summary."""
    return f"{who} states {_amount(stated, key)} and holds {shown:,}; what it holds counts."


def unshown_claims(
    stated: Mapping[str, int], shown: Mapping[str, int], of_parts: Mapping[str, str] | None = None
) -> list[str]:
    """Tell which counts a file states and does not show, all of them by the keys of a run's summary.

    A file without test cases has nothing that counts instead. `of_parts` has a sentence by key for what a
    part of the file does not show; it is told where the whole file does not say it.
    """
    if not shown["tests"] and any(stated.values()):
        return ["There are no test cases; the counts that the file states are taken."]
    of_file = {
        key: claim_warning("The file", key, number, shown[key])
        for key, number in stated.items()
        if number > shown.get(key, number)
    }
    return list({**(of_parts or {}), **of_file}.values())


def outgrown_claims(stated: Mapping[str, int], shown: Mapping[str, int], run_id: UUID) -> list[str]:
    """Tell where an archived run has more results of a kind than its summary; they were changed since.

    Results deleted before the run was archived are in its summary still.
    """
    return [
        f"The archive's summary states {_amount(stated[key], key)} and its results show {number:,}; "
        f"the summary was kept, `ibutsu-tasks enqueue update_run run_id={run_id}` counts anew."
        for key, number in shown.items()
        if number > stated.get(key, number)
    ]


def counts_of(statuses: Mapping[str, int]) -> dict[str, int]:
    """Give the counts of results, by the keys of a run's summary, from their numbers by status."""
    tests = sum(statuses.values())
    counts = {key: statuses.get(status, 0) for key, status in STATUS_BY_COUNT.items()}
    return {"tests": tests, "passes": tests - sum(counts.values()), **counts}
