"""Locking and deleting the rows of one batch, beside the work of others."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from sqlalchemy import event, select, text
from sqlalchemy.orm import Session

from ibutsu_tasks.database.models import Artifact, Base, Result
from ibutsu_tasks.operations.prune import batches
from ibutsu_tasks.operations.prune.due import DueRows
from ibutsu_tasks.operations.prune.locking import RowLocker
from ibutsu_tasks.retention import RETENTION_RULES, RULES_BY_NAME, RetentionRule
from tests.factories import make_artifact, make_result, make_run, utc_now
from tests.old_results import due_results, make_old_result, prune

if TYPE_CHECKING:
    from sqlalchemy import Engine

RESULTS, IMPORTS = RULES_BY_NAME["results"], RULES_BY_NAME["imports"]
ARTIFACTS = Base.metadata.tables["artifacts"]


def test_batches_follow_one_another_by_date_and_id(engine: Engine, session: Session) -> None:
    same = utc_now() - timedelta(days=200)
    run = make_run(session)
    ids = sorted(make_result(session, run, start_time=same).id for _ in range(5))
    session.commit()
    last, seen = None, []
    with Session(engine) as locking:
        locker = RowLocker(locking, due_results(), 10)
        for _ in range(3):
            locked, last = locker.lock_next(last, 2)
            assert last is not None
            seen.append((locked.rows, last.id))
        assert locker.lock_next(last, 2)[1] is None
    assert seen == [(2, ids[1]), (2, ids[3]), (1, ids[4])]


def test_what_others_have_locked_is_found_and_not_locked(engine: Engine, session: Session) -> None:
    held = make_old_result(session, artifacts=3)
    make_old_result(session, artifacts=2)
    with Session(engine) as other, Session(engine) as locking:
        other.execute(text("select 1 from artifacts where result_id = :id for update"), {"id": held.id})
        due = due_results()
        locker = RowLocker(locking, due, 100)
        roots, _ = locker.lock_next(None, 100)
        artifacts = locker.lock_dependants(ARTIFACTS, {due.root: roots})
        assert (roots.rows, artifacts.rows, artifacts.found) == (2, 2, 5)
        assert locker.delete(ARTIFACTS, artifacts, have_dependants=False).rows == 2
        assert locker.delete(due.root, roots, have_dependants=True).rows == 1
        locking.commit()
    assert session.scalars(select(Result.id)).all() == [held.id]


def test_a_batch_takes_what_it_may_weigh_and_one_row_at_least(engine: Engine, session: Session) -> None:
    result = make_old_result(session)
    for size_bytes in (100_000, 10, 10):
        content = b"".join(uuid4().bytes for _ in range(size_bytes // 16 + 1))
        make_artifact(session, result, content=content)
    session.commit()
    with Session(engine) as locking:
        due = due_results()
        locker = RowLocker(locking, due, 3)
        roots, _ = locker.lock_next(None, 100)
        taken = []
        while (artifacts := locker.lock_dependants(ARTIFACTS, {due.root: roots})).found:
            taken.append(locker.delete(ARTIFACTS, artifacts, have_dependants=False).rows)
    assert taken == [1, 2]


def test_a_result_that_others_make_young_keeps_its_artifacts(
    engine: Engine, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, gone = make_old_result(session, artifacts=2).id, make_old_result(session, artifacts=1).id
    with Session(engine) as other:
        other.execute(text("update results set start_time = now() where id = :id"), {"id": kept})
        monkeypatch.setattr(batches.time, "sleep", lambda _: other.commit())
        summary = prune(engine, RESULTS)
    assert (summary.left, dict(summary.deleted)) == (0, {"results": 1, "artifacts": 1})
    assert set(session.scalars(select(Artifact.result_id))) == {kept} != {gone}


@pytest.mark.parametrize("rule", RETENTION_RULES, ids=lambda rule: rule.name)
def test_a_batch_reads_no_table_from_end_to_end(engine: Engine, rule: RetentionRule) -> None:
    """Also without statistics: these tables are empty and nobody has analyzed them."""
    plans = []

    def explain(_connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if "FOR UPDATE" in statement or "DELETE" in statement:
            cursor.execute(f"explain {statement}", parameters)
            plans.append("\n".join(line for (line,) in cursor.fetchall()))

    event.listen(engine, "before_cursor_execute", explain)
    due = DueRows(rule, utc_now())
    try:
        with Session(engine) as session:
            locker = RowLocker(session, due, 1000)
            locked = {due.root: locker.lock_next(None, 1000)[0]}
            locker.lock_some([uuid4()])
            for table in due.tables[1:]:
                locked[table] = locker.lock_dependants(table, locked)
            for table in reversed(due.tables):
                locker.delete(table, locked[table], have_dependants=True)
    finally:
        event.remove(engine, "before_cursor_execute", explain)
    assert len(plans) == 2 * len(due.tables) + 1
    for plan in plans:
        assert "Seq Scan" not in plan
        assert "Hash Join" not in plan
