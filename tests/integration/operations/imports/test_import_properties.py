"""Whatever a file holds: the tables hold it exactly, and importing it twice is importing it once."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any
from uuid import UUID, uuid4

from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from ibutsu_tasks.ibutsu.database.models import Artifact, Import, ImportFile, Result, Run
from ibutsu_tasks.ibutsu.importers.parsed import ImportLimits
from ibutsu_tasks.ibutsu.importers.summary_counts import STATUS_BY_COUNT
from ibutsu_tasks.ibutsu.operations.imports.records import start
from ibutsu_tasks.ibutsu.operations.imports.run_import import run_import
from ibutsu_tasks.ibutsu.operations.run_summary import complete, refresh
from tests.factories import make_import
from tests.junit_trees import SUITES, TEXT, Suite, as_xml
from tests.sample_files import RESULT_IDS, RUN_ID, archive, result_json

# Columns that hold the moment of writing.
WRITTEN_AT = {"created", "upload_date"}

STATUSES = ("passed", "failed", "error", "skipped", "xfailed", "xpassed", "manual", "blocked")
SCALARS = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)
METADATA = st.dictionaries(TEXT, JSON, max_size=3)
RESULTS = st.lists(st.tuples(st.sampled_from(STATUSES), METADATA), min_size=1, max_size=len(RESULT_IDS))

# A run without a time begins when it is imported, which two imports never agree on.
DATED = SUITES.map(lambda suite: as_xml(suite, timestamp="2026-11-21T08:00:00"))

with_database = hypothesis_settings(
    deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@st.composite
def archives(draw: st.DrawFn) -> bytes:
    results = [
        result_json(number, result=status, metadata=metadata)
        for number, (status, metadata) in enumerate(draw(RESULTS))
    ]
    run = draw(st.none() | METADATA)
    stated = (
        None if run is None else {"id": str(RUN_ID), "start_time": "2026-11-21T08:00:00", "metadata": run}
    )
    return archive(stated, results, log=draw(st.binary(max_size=20)))


def empty(session: Session) -> None:
    session.rollback()
    for model in (Artifact, Result, Run, ImportFile, Import):
        session.execute(delete(model))
    session.commit()


def upload(session: Session, content: bytes, filename: str = f"{RUN_ID}.xml") -> UUID:
    import_id = make_import(session, content, filename=filename).id
    session.commit()
    return import_id


def deliver(session: Session, import_id: UUID) -> None:
    with Session(session.get_bind()) as own, own.begin():
        start(own, import_id)
        run_import(own, import_id, "junit", ImportLimits())


def tables(session: Session) -> dict[str, list[dict[str, Any]]]:
    """Every row an import writes, less the moments of writing."""
    session.rollback()
    found = {}
    for model in (Run, Result, Artifact):
        rows = session.execute(select(model.__table__).order_by(model.id)).mappings()
        found[model.__tablename__] = [{k: v for k, v in row.items() if k not in WRITTEN_AT} for row in rows]
    return found


@given(suite=SUITES)
@with_database
def test_every_tree_is_in_the_tables(session: Session, suite: Suite) -> None:
    empty(session)
    deliver(session, upload(session, as_xml(suite)))
    expected = list(suite.cases())

    results = {row.id: row for row in session.scalars(select(Result))}
    assert Counter((row.test_id, row.result) for row in results.values()) == Counter(
        (case.test_id(number), case.status) for number, case in enumerate(expected, 1)
    )
    tracebacks = Counter(
        (results[row.result_id].test_id, bytes(row.content).decode())
        for row in session.scalars(select(Artifact))
    )
    assert tracebacks == Counter(
        (case.test_id(number), case.traceback) for number, case in enumerate(expected, 1) if case.traceback
    )
    run = session.scalars(select(Run)).one()
    statuses = Counter(case.status for case in expected)
    counts = {name: statuses[status] for name, status in STATUS_BY_COUNT.items()} | {"tests": len(expected)}
    assert run.summary == complete(counts, 0)
    assert refresh(session, run.id) == run.summary


@given(content=SUITES.map(as_xml) | archives())
@with_database
def test_importing_twice_is_importing_once(session: Session, content: bytes) -> None:
    empty(session)
    import_id = upload(session, content)
    deliver(session, import_id)
    once = tables(session)

    deliver(session, import_id)
    assert tables(session) == once
    # What a worker that died after its commit, or a roll-back of the row, would leave to be done again.
    session.get_one(Import, import_id).status = "running"
    session.scalars(select(ImportFile)).one().content = content
    session.commit()
    deliver(session, import_id)
    assert tables(session) == once


@given(content=archives() | SUITES.map(as_xml))
@with_database
def test_another_upload_of_the_same_run_is_the_same_rows(session: Session, content: bytes) -> None:
    empty(session)
    deliver(session, upload(session, content))
    once = tables(session)
    deliver(session, upload(session, content, f"again {RUN_ID}.tar.gz"))
    assert tables(session) == once


@given(content=DATED | archives(), same_import=st.booleans())
@with_database
def test_importing_twice_at_once_is_importing_once(
    session: Session, content: bytes, *, same_import: bool
) -> None:
    empty(session)
    deliver(session, upload(session, content))
    once = tables(session)

    empty(session)
    first = upload(session, content)
    second = first if same_import else upload(session, content, f"{RUN_ID}-{uuid4().hex}.xml")
    barrier = Barrier(2)

    def meet(import_id: UUID) -> None:
        barrier.wait(30)
        deliver(session, import_id)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(meet, (first, second)))
    assert tables(session) == once
