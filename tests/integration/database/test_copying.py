"""Rows written by COPY are read back by SQLAlchemy as they were given."""

from __future__ import annotations

import io
import math
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from ibutsu_tasks.ibutsu.database.copying import CopyBatch, copy_rows, table_of
from ibutsu_tasks.ibutsu.database.models import Artifact, Result, User
from ibutsu_tasks.ibutsu.database.row_encoding import RowEncoder
from ibutsu_tasks.ibutsu.importers.parsed import SpooledContent
from ibutsu_tasks.temporary_errors import is_temporary
from ibutsu_tasks.text.storable import storable_json, storable_text
from tests.factories import make_run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Engine

WILD_TEXT = st.text(st.characters(codec=None), max_size=50)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats() | WILD_TEXT,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(WILD_TEXT, inner, max_size=5),
    max_leaves=10,
)
RESULT_ROWS = st.fixed_dictionaries(
    {
        "id": st.uuids(),
        "project_id": st.none(),
        "run_id": st.none(),
        "test_id": st.none() | WILD_TEXT,
        "result": st.none() | WILD_TEXT,
        "data": st.none() | st.dictionaries(WILD_TEXT, JSON, max_size=5),
        "params": st.none() | st.dictionaries(WILD_TEXT, JSON, max_size=5),
        "duration": st.none() | st.floats(),
        "start_time": st.datetimes(),
        "source": st.none() | WILD_TEXT,
        "env": st.none() | WILD_TEXT,
        "component": st.none() | WILD_TEXT,
    }
)


def as_stored(value: Any) -> Any:
    if isinstance(value, str):
        return storable_text(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return storable_json(value) if isinstance(value, dict) else value


def comparable(value: Any) -> Any:
    """`jsonb` keeps 6e16 as the decimal number that it is, and Python reads that as an integer."""
    if isinstance(value, dict):
        return {key: comparable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [comparable(item) for item in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def row(**columns: Any) -> dict[str, Any]:
    names = table_of(Result).columns.keys()
    return dict.fromkeys(names) | {"id": uuid4(), "start_time": datetime(2026, 11, 21)} | columns  # noqa: DTZ001


def artifact_row(content: Any) -> dict[str, Any]:
    names = table_of(Artifact).columns.keys()
    now = datetime(2026, 11, 21)  # noqa: DTZ001
    return dict.fromkeys(names) | {"id": uuid4(), "upload_date": now, "content": content}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(rows=st.lists(RESULT_ROWS, max_size=5, unique_by=lambda one: one["id"]))
def test_any_row_comes_back(session: Session, rows: list[dict[str, Any]]) -> None:
    session.rollback()
    copy_rows(session, Result, rows)

    stored = {one.id: one for one in session.scalars(select(Result))}
    assert len(stored) == len(rows)
    for given_row in rows:
        for name, value in given_row.items():
            read = getattr(stored[given_row["id"]], name)
            assert comparable(read) == comparable(as_stored(value)), name


def test_times_with_a_zone_are_stored_as_utc(session: Session) -> None:
    moment = datetime(2026, 11, 21, 6, 9, 29, 950940, tzinfo=timezone(timedelta(hours=2)))
    session.execute(text("set local timezone = 'America/New_York'"))
    copy_rows(session, Result, [row(start_time=moment)])
    assert session.scalar(select(Result.start_time)) == moment.astimezone(UTC).replace(tzinfo=None)


def test_content_outside_memory_is_streamed(session: Session) -> None:
    pattern = bytes(range(256)) * 8192
    spooled = SpooledContent(io.BytesIO(b"before" + pattern + b"after"), 6, len(pattern))
    copy_rows(session, Artifact, [artifact_row(spooled), artifact_row(b""), artifact_row(None)])
    contents = list(session.scalars(select(Artifact.content).order_by(func.length(Artifact.content).desc())))
    assert contents == [None, pattern, b""]


def test_batch_counts_what_it_holds_in_memory_and_writes_once(session: Session) -> None:
    batch = CopyBatch(Artifact)
    batch.add(artifact_row(SpooledContent(io.BytesIO(b"x" * 5000), 0, 5000)))
    assert len(batch) == 1
    assert 0 < batch.size_bytes < 1000
    assert batch.write(session) == 1
    assert (len(batch), batch.size_bytes, batch.write(session)) == (0, 0, 0)
    assert session.scalar(select(func.octet_length(Artifact.content))) == 5000


def test_batch_keeps_the_last_row_of_an_id(session: Session) -> None:
    batch, result_id = CopyBatch(Result), uuid4()
    batch.add(row(id=result_id, test_id="first"))
    batch.add(row(id=result_id, test_id="second"))
    batch.add(row(id=UUID(int=7)))
    batch.discard([UUID(int=7), UUID(int=8)])
    assert batch.write(session) == 1
    assert session.scalars(select(Result.test_id)).all() == ["second"]


def test_pending_objects_are_there_before_the_rows_that_name_them(session: Session) -> None:
    run = make_run(session)
    copy_rows(session, Result, [row(run_id=run.id)])
    assert session.scalar(select(Result.run_id)) == run.id


def test_error_while_producing_rows_is_raised_as_it_is(session: Session) -> None:
    def rows() -> Iterator[dict[str, Any]]:
        yield row()
        raise LookupError("the source ended")

    with pytest.raises(LookupError, match="the source ended"):
        copy_rows(session, Result, rows())
    session.rollback()
    assert session.scalar(select(func.count()).select_from(Result)) == 0


def test_refusal_by_the_server_is_an_error_of_sqlalchemy(session: Session) -> None:
    with pytest.raises(DBAPIError) as caught:
        copy_rows(session, Result, [row(run_id=uuid4())])
    assert caught.value.orig is not None
    assert caught.value.orig.pgcode == "23503"  # type: ignore[attr-defined]
    assert not is_temporary(caught.value)


def test_connection_lost_on_the_way_is_transient(engine: Engine) -> None:
    with Session(engine) as session:
        backend = session.scalar(text("select pg_backend_pid()"))

        def rows() -> Iterator[dict[str, Any]]:
            yield row()
            with engine.connect() as other:
                other.execute(text("select pg_terminate_backend(:pid, 5000)"), {"pid": backend})
            for _ in range(100_000):
                yield row(test_id="x" * 1000)

        with pytest.raises(DBAPIError) as caught:
            copy_rows(session, Result, rows())
        assert is_temporary(caught.value)


def test_memory_is_flat_in_the_number_of_rows(session: Session) -> None:
    alive = peak = 0

    class Counted(dict[str, Any]):
        def __init__(self, values: dict[str, Any]) -> None:
            nonlocal alive, peak
            super().__init__(values)
            alive += 1
            peak = max(peak, alive)

        def __del__(self) -> None:
            nonlocal alive
            alive -= 1

    copy_rows(session, Result, (Counted(row()) for _ in range(3000)))
    assert session.scalar(select(func.count()).select_from(Result)) == 3000
    assert peak <= 2


def test_column_type_without_an_encoder_is_refused() -> None:
    with pytest.raises(TypeError, match="Boolean"):
        RowEncoder(table_of(User))
