"""Results that are due, and prunes of them on an engine."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy.orm import Session

from ibutsu_tasks.ibutsu.retention import RULES_BY_NAME
from ibutsu_tasks.retention import run_prune
from ibutsu_tasks.retention.batches import BatchTuner
from ibutsu_tasks.retention.due import DueRows
from tests.factories import make_artifact, make_result, make_run, utc_now

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Engine

    from ibutsu_tasks.ibutsu.database.models import Result
    from ibutsu_tasks.packages import RetentionRule


def due_results() -> DueRows:
    return DueRows(RULES_BY_NAME["results"], utc_now() - timedelta(days=150))


def make_old_result(session: Session, *, artifacts: int = 0) -> Result:
    result = make_result(session, make_run(session), start_time=utc_now() - timedelta(days=300))
    for _ in range(artifacts):
        make_artifact(session, result)
    session.commit()
    return result


def prune(engine: Engine, rule: RetentionRule, **tuning: float) -> run_prune.PruneSummary:
    @contextmanager
    def open_session() -> Iterator[Session]:
        with Session(engine) as session, session.begin():
            yield session

    return run_prune.prune(open_session, rule, rule.default_age_days, tuner=BatchTuner(**tuning))
