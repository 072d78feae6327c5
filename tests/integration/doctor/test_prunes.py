"""The check of the prunes on real rows and real records."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from ibutsu_tasks.broker.connection import build_client
from ibutsu_tasks.doctor import examine
from ibutsu_tasks.doctor.codes import Verdict
from ibutsu_tasks.errors import RefusedError
from ibutsu_tasks.ibutsu.retention import parse_project_ages
from ibutsu_tasks.packages import choose
from ibutsu_tasks.retention.history import PruneHistory
from ibutsu_tasks.settings import setting_rows
from tests.factories import make_project, make_result, make_run, utc_now
from tests.packaged import declare, write_module

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy.orm import Session

    from ibutsu_tasks.settings import Settings


def codes(settings: Settings) -> list[str]:
    return [item.code for item in examine(settings, ["prunes"]).findings]


def test_rows_that_heap_up_and_a_prune_that_failed(settings: Settings, session: Session) -> None:
    assert codes(settings) == ["IBT-P00"]
    # Due, and the next prune of the schedule takes it.
    make_result(session, make_run(session), start_time=utc_now() - timedelta(days=151))
    session.commit()
    assert codes(settings) == ["IBT-P00"]
    make_result(session, make_run(session), start_time=utc_now() - timedelta(days=158))
    session.commit()
    assert codes(settings) == ["IBT-P10"]
    with build_client(settings.require_broker()) as client:
        history = PruneHistory(lambda: client, pytest.fail, "command", "here")
        with pytest.raises(RefusedError), history.recorded("results", 150):
            raise RefusedError("It was refused.")
    report = examine(settings, ["prunes"])
    assert [item.code for item in report.findings] == ["IBT-P01"]
    assert "It was refused." in report.findings[0].seen
    assert report.verdict is Verdict.BAD_NEWS


def with_ages(settings: Settings, ages: str) -> Settings:
    return replace(settings, of_packages={"retention": parse_project_ages(ages)})


def test_projects_with_ages_of_their_own(settings: Settings, session: Session) -> None:
    project = make_project(session, "kept")
    make_run(session, project_id=project.id, start_time=utc_now() - timedelta(days=400))
    session.commit()
    assert codes(settings) == ["IBT-P10"]
    assert codes(with_ages(settings, "kept:runs=never")) == ["IBT-P00"]
    report = examine(with_ages(settings, "gone:runs=never"), ["prunes"])
    assert [item.code for item in report.findings] == ["IBT-P03"]
    assert "'gone'" in report.findings[0].seen


RULES = """
    tables="ibutsu_tasks.ibutsu.database.models:METADATA",
    schedule=[ScheduleRow(name, 60, name) for name in ("no-ages", "no-sense")],
    retention=[
        RetentionRule(
            name=name, table="runs", date_column="start_time", default_age_days=1, minimum_age_days=1,
            task=name, help="Runs.", **{part: f"odd_rules.functions:{part}"},
        )
        for name, part in (("no-ages", "own_ages"), ("no-sense", "where"))
    ],
"""
FUNCTIONS = """
def own_ages(*_): raise RuntimeError("no luck")
def where(table): return table.c.start_time == 5
"""


@pytest.fixture
def with_odd_rules(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.syspath_prepend(tmp_path)
    write_module(tmp_path, "odd_rules.functions", FUNCTIONS)
    declare(tmp_path, "odd_rules", RULES)
    choose(("odd_rules.package",), (), setting_rows().values())
    return settings


def test_a_rule_that_cannot_be_looked_at_hides_no_other(with_odd_rules: Settings, session: Session) -> None:
    make_run(session, start_time=utc_now() - timedelta(days=400))
    session.commit()
    found = [(item.code, item.seen) for item in examine(with_odd_rules, ["prunes"]).findings]
    assert sorted(code for code, _ in found) == ["IBT-P03", "IBT-P03", "IBT-P10"]
    seen = " ".join(sentence for _, sentence in found)
    assert "by no-ages are refused: What the rule no-ages names as own_ages ended with RuntimeError" in seen
    assert "Looking for rows that no-sense would delete failed: PostgreSQL says: operator does not" in seen
