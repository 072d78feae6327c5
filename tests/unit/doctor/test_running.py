"""The round of checks: limits, dependants, and checks that fail themselves."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from ibutsu_tasks.doctor import NEEDS, choose, database_faults, redis_faults, running
from ibutsu_tasks.doctor import names as all_names
from ibutsu_tasks.doctor.codes import BROKE, code_of
from ibutsu_tasks.doctor.report import Finding, finding
from ibutsu_tasks.doctor.running import Check, Round
from ibutsu_tasks.errors import UsageError
from ibutsu_tasks.settings import Settings, load_settings

if TYPE_CHECKING:
    from collections.abc import Callable

HANG_SECONDS = 60
SETTINGS = load_settings({"broker_url": "redis://:hidden-pass@nowhere/0"}, environ={})


def check(run: Callable[[Settings], list[Finding]], *needs: str) -> Check:
    return Check(run, "", needs)


def answers(code: str) -> Callable[[Settings], list[Finding]]:
    return lambda _: [finding(code, "seen")]


def sleeps(_: Settings) -> list[Finding]:
    time.sleep(HANG_SECONDS)
    return []


def exits(_: Settings) -> list[Finding]:
    sys.exit(3)


def breaks(_: Settings) -> list[Finding]:
    raise ZeroDivisionError("redis://:hidden-pass@nowhere/0 by hidden-pass")


def codes(checks: dict[str, Check], **obstacles: Finding) -> dict[str, str]:
    found = Round(SETTINGS, coded(checks), obstacles).run()
    return {name: items[0].code for name, items in found.items()}


def coded(checks: dict[str, Check]) -> dict[str, Check]:
    return {name: replace(check, code=code_of(name, "")) for name, check in checks.items()}


def test_a_check_that_hangs_is_given_up_and_the_others_are_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "CHECK_SECONDS", 0.5)
    found = codes({"database": check(sleeps), "flower": check(answers("IBT-F00"))})
    assert found == {"database": "IBT-D90", "flower": "IBT-F00"}


def test_a_chain_of_hanging_checks_stays_within_the_total(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "CHECK_SECONDS", HANG_SECONDS)
    monkeypatch.setattr(running, "TOTAL_SECONDS", 0.5)
    found = codes(
        {
            "flower": check(sleeps, "beat"),
            "broker": check(sleeps),
            "beat": check(answers("IBT-T00"), "database"),
            "database": check(sleeps),
        }
    )
    assert found == {"broker": "IBT-B90", "database": "IBT-D90", "beat": "IBT-T80", "flower": "IBT-F80"}


def test_limits_leave_room_for_the_process() -> None:
    assert running.TOTAL_SECONDS <= 8
    assert running.CALL_SECONDS + redis_faults.PROBE_SECONDS < running.CHECK_SECONDS
    assert database_faults.CONNECT_SECONDS < running.CHECK_SECONDS


def test_a_check_that_ends_the_process_is_one_finding() -> None:
    assert codes({"beat": check(exits)}) == {"beat": code_of("beat", BROKE)}


def test_a_check_that_breaks_is_one_finding_without_secrets() -> None:
    found = Round(SETTINGS, coded({"beat": check(breaks)}), {}).run()["beat"]
    assert [item.code for item in found] == ["IBT-T99"]
    assert "hidden-pass" not in str(found)
    assert "ZeroDivisionError" in found[0].seen


@pytest.mark.parametrize(("code", "expected"), [("IBT-B01", "IBT-W80"), ("IBT-B20", "IBT-W00")])
def test_only_a_service_that_is_down_holds_up_its_dependants(code: str, expected: str) -> None:
    checks = {"workers": check(answers("IBT-W00"), "broker"), "broker": check(answers(code))}
    assert codes(checks)["workers"] == expected


def test_an_obstacle_skips_the_check_and_its_dependants() -> None:
    checks = {"broker": check(sleeps), "beat": check(sleeps, "broker")}
    assert codes(checks, broker=finding("IBT-S01", "missing")) == {"broker": "IBT-B80", "beat": "IBT-T80"}


def test_every_dependency_is_a_check_shown_before() -> None:
    names = list(NEEDS)
    for name, needs in NEEDS.items():
        for need in needs(SETTINGS):
            assert names.index(need) < names.index(name)


def test_choosing_by_commas_and_repetition() -> None:
    assert choose([]) == all_names()
    assert choose(["broker, Database", "broker"]) == ("broker", "database")


def test_an_unknown_name_gets_a_suggestion() -> None:
    with pytest.raises(UsageError, match="'brokr'") as caught:
        choose(["beat,brokr"])
    assert "Did you mean broker?" in caught.value.hint


@pytest.mark.parametrize("nothing", [",", "", " , "])
def test_a_choice_of_nothing_is_refused(nothing: str) -> None:
    with pytest.raises(UsageError, match="names no check"):
        choose([nothing])
