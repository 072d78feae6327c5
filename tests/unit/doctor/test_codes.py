"""The table of codes, and the tables of causes that point into it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from redis.exceptions import RedisError
from sqlalchemy.engine import make_url

from ibutsu_tasks.cli.output.findings import COUNTED, EXIT_CODES, MARKS
from ibutsu_tasks.doctor import database_faults, names, redis_faults
from ibutsu_tasks.doctor.codes import CODES, LETTERS, LINES, Severity, Verdict, code_of
from ibutsu_tasks.doctor.report import Report, finding
from ibutsu_tasks.settings import load_settings

if TYPE_CHECKING:
    from ibutsu_tasks.doctor.report import Fault


def test_codes_have_one_form() -> None:
    assert all(re.fullmatch(r"IBT-[A-Z]\d\d", code) for code in CODES)
    letters = LETTERS | {line: f"A{place}" for place, line in enumerate(LINES)}
    assert all(code.startswith(f"IBT-{letters[row.check]}") for code, row in CODES.items())


def test_every_check_has_a_letter_of_its_own() -> None:
    assert LETTERS.keys() == set(names())
    assert len({*LETTERS.values(), "A"}) == len(LETTERS) + 1
    assert LETTERS.keys().isdisjoint(LINES)


def test_every_cause_has_its_code() -> None:
    for fault in (*redis_faults.FAULTS, redis_faults.OTHER, redis_faults.PLAIN_ONLY, redis_faults.TLS_ONLY):
        assert code_of("broker", fault.number) in CODES
        assert code_of("backend", fault.number) in CODES
    for fault in (*database_faults.FAULTS, database_faults.OTHER):
        assert code_of("database", fault.number) in CODES


def test_the_command_knows_every_severity_and_verdict() -> None:
    assert set(MARKS) == set(COUNTED) == set(Severity)
    assert set(EXIT_CODES) == set(Verdict)


def test_the_gravest_finding_decides() -> None:
    ladder = ["IBT-B00", "IBT-W01", "IBT-D01", "IBT-S01"]
    verdicts = [
        Report(tuple(finding(code, "seen") for code in ladder[:length]), 0.1).verdict
        for length in range(1, 5)
    ]
    assert verdicts == [Verdict.GOOD, Verdict.BAD_NEWS, Verdict.UNREACHABLE, Verdict.SETTINGS]


def test_only_failures_are_bad_news() -> None:
    for code, row in CODES.items():
        assert (row.verdict is Verdict.GOOD) is (row.severity is not Severity.FAILURE), code


def test_json_has_these_keys() -> None:
    document = Report((finding("IBT-B01", "seen", "hint"),), 0.12345).as_json()
    assert document == {
        "verdict": "unreachable",
        "elapsed_seconds": 0.123,
        "findings": [
            {"code": "IBT-B01", "check": "broker", "severity": "failure", "seen": "seen", "hint": "hint"}
        ],
    }


@given(st.text(), st.sampled_from(["broker", "backend"]))
def test_any_text_of_redis_has_a_cause_and_a_hint(text: str, check: str) -> None:
    # A unix socket: there is no port to take a second look at.
    settings = load_settings({"broker_url": "redis+socket:///nowhere/redis.sock"}, environ={})
    found = redis_faults.explain(RedisError(text), settings, check)
    assert found.verdict is not Verdict.GOOD
    assert found.hint


@given(st.text())
@example("{place} {nothing}")
@example("FATAL:  Passwort-Authentifizierung für Benutzer »u« fehlgeschlagen")
def test_any_text_of_postgresql_has_a_cause_and_a_hint(text: str) -> None:
    url = "postgresql://u@h/n"
    settings = load_settings({"database_url": url}, environ={})
    found = database_faults.explain(ValueError(text), settings, make_url(url))
    assert found.verdict is Verdict.UNREACHABLE
    assert found.hint


@pytest.mark.parametrize("fault", [*database_faults.FAULTS, database_faults.OTHER])
def test_every_sentence_about_postgresql_can_be_filled_in(fault: Fault) -> None:
    for settings in (
        load_settings({"database_url": "postgresql://u@h/n"}, environ={}),
        load_settings({"postgresql_host": "h", "postgresql_database": "n"}, environ={}),
    ):
        words = database_faults.words_of(settings, make_url(settings.require_database()), "reason")
        assert fault.seen.format(**words)
        assert fault.hint.format(**words)
