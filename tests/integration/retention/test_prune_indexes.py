from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError

from ibutsu_tasks.doctor import examine
from ibutsu_tasks.errors import RefusedError
from ibutsu_tasks.ibutsu.retention import RETENTION_RULES, RULES_BY_NAME
from ibutsu_tasks.retention import run_prune
from ibutsu_tasks.retention.due import columns_needed, missing_indexes
from ibutsu_tasks.settings import load_settings
from tests.factories import make_artifact, make_result, make_run, opener, utc_now

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from sqlalchemy.orm import Session

    from ibutsu_tasks.database.indexes import MissingIndex

FILES, RESULTS, RUNS = (RULES_BY_NAME[name] for name in ("files", "results", "runs"))


def change(engine: Engine, *statements: str) -> None:
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for statement in statements:
            connection.execute(text(statement))


def missing(engine: Engine) -> tuple[MissingIndex, ...]:
    with engine.connect() as connection:
        return missing_indexes(connection, RETENTION_RULES)


def test_what_each_rule_needs() -> None:
    needed = {rule.name: [str(column) for column in columns_needed(rule)] for rule in RETENTION_RULES}
    assert needed == {
        "imports": ["imports.created", "import_files.import_id"],
        "files": ["artifacts.upload_date"],
        "results": ["results.start_time", "artifacts.result_id"],
        "runs": ["runs.start_time", "results.run_id", "artifacts.result_id", "artifacts.run_id"],
    }


def test_the_contracts_schema_lacks_nothing(engine: Engine) -> None:
    assert missing(engine) == ()


@pytest.mark.parametrize(
    ("instead", "fits"),
    [
        ("create index on artifacts (result_id)", True),
        ("create index on artifacts (result_id, filename)", True),
        ("create index on artifacts (result_id) where result_id is not null", True),
        ("create index on artifacts (filename, result_id)", False),
        ("create index on artifacts (result_id) where filename is not null", False),
        ("create index on artifacts using brin (upload_date, result_id)", False),
        ("create index ix_artifacts_result_id on artifacts (filename)", False),
        ("create index on artifacts ((result_id::text))", False),
    ],
)
def test_an_index_of_another_name_serves_when_it_finds_the_rows(
    engine: Engine, instead: str, *, fits: bool
) -> None:
    change(engine, "drop index ix_artifacts_result_id", instead)
    assert (not missing(engine)) is fits
    for index in missing(engine):
        change(engine, index.statement)
    assert missing(engine) == ()


def test_an_index_whose_build_failed_is_rebuilt(engine: Engine, session: Session) -> None:
    result = make_result(session, make_run(session))
    for _ in range(2):
        make_artifact(session, result)
    session.commit()
    change(engine, "drop index ix_artifacts_result_id")
    with pytest.raises(DBAPIError):
        change(engine, "create unique index concurrently ix_artifacts_result_id on artifacts (result_id)")
    [broken] = missing(engine)
    assert (broken.is_broken, broken.statement) == (
        True,
        "REINDEX INDEX CONCURRENTLY ix_artifacts_result_id;",
    )
    session.execute(text("truncate artifacts"))
    session.commit()
    change(engine, broken.statement)
    assert missing(engine) == ()


def test_a_prune_without_its_index_refuses_and_deletes_nothing(engine: Engine, session: Session) -> None:
    old = utc_now() - timedelta(days=400)
    make_result(session, make_run(session, start_time=old))
    make_artifact(session, upload_date=old)
    session.commit()
    change(engine, "drop index ix_artifacts_result_id")
    for rule in (RESULTS, RUNS):
        with pytest.raises(RefusedError, match=r"no index begins with artifacts\.result_id") as caught:
            run_prune.prune(opener(engine), rule, rule.default_age_days)
        assert (
            "`CREATE INDEX CONCURRENTLY ix_artifacts_result_id ON artifacts (result_id);`"
            in caught.value.hint
        )
    # It looks up nothing by that column.
    assert run_prune.prune(opener(engine), FILES, 90).deleted["artifacts"] == 1


def test_the_doctor_says_the_same(database_url: str, engine: Engine) -> None:
    change(engine, "drop index ix_results_run_id")
    report = examine(load_settings({"database_url": database_url}, environ={}), ["database"])
    assert [item.code for item in report.findings] == ["IBT-D25", "IBT-D30"]
    assert "results.run_id" in report.findings[1].seen
    assert "CREATE INDEX CONCURRENTLY ix_results_run_id ON results (run_id);" in report.findings[1].hint


def test_tables_that_are_not_there_lack_no_index(empty_database_url: str) -> None:
    engine = create_engine(empty_database_url)
    assert missing(engine) == ()
    engine.dispose()
