from __future__ import annotations

import json
from contextlib import suppress
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ibutsu_tasks.broker.connection import build_client
from ibutsu_tasks.broker.layout import PRUNE_ORDER_KEY, PRUNE_RECORDS_KEY
from ibutsu_tasks.celery_app import WORKER_NAME, build_database_app
from ibutsu_tasks.errors import BusyError, RefusedError, SettingsError
from ibutsu_tasks.ibutsu.retention import RULES_BY_NAME
from ibutsu_tasks.retention import history as prune_history
from ibutsu_tasks.retention.history import (
    PruneHistory,
    PruneRecord,
    PruneState,
    parse_record,
    read_history,
)
from ibutsu_tasks.retention.run_prune import PruneSummary
from tests.doors import dead_port
from tests.factories import make_artifact, make_result, make_run, utc_now

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis import Redis
    from sqlalchemy.orm import Session

    from ibutsu_tasks.settings import Settings

STARTER = ("task", "celery@w1", "task-1")


@pytest.fixture
def client(broker_url: str) -> Iterator[Redis]:
    with build_client(broker_url) as connected:
        yield connected


@pytest.fixture
def history(client: Redis) -> PruneHistory:
    return PruneHistory(lambda: client, pytest.fail, *STARTER)


def summary(**values: Any) -> PruneSummary:
    return PruneSummary("runs", 360, **values)


def test_a_prune_is_on_record_from_its_beginning(client: Redis, history: PruneHistory) -> None:
    cutoff = utc_now() - timedelta(days=360)
    with history.recorded("runs", 360) as record:
        [running] = read_history(client)
        assert (running.written_state, running.ended) == (PruneState.RUNNING, None)
        deleted = {"runs": 2, "results": 40}
        record.end(summary(cutoff=cutoff, deleted=deleted, size_bytes=99, left=1, seconds=0.5))
    [done] = read_history(client)
    assert (done.id, done.written_state, done.rows, done.deleted) == (
        running.id,
        PruneState.DONE,
        42,
        deleted,
    )
    assert (done.rule, done.older_than_days, done.size_bytes, done.left) == ("runs", 360, 99, 1)
    assert (done.by, done.where, done.task_id) == ("task", "celery@w1", "task-1")
    assert done.ended is not None
    assert done.cutoff is not None
    assert abs(done.cutoff - cutoff) < timedelta(milliseconds=2)


@pytest.mark.parametrize(
    ("error", "state", "sentence"),
    [
        (RefusedError("It was refused."), PruneState.FAILED, "It was refused."),
        (BusyError("Another prune is running."), PruneState.SKIPPED, "Another prune is running."),
        (ValueError("row 7 of somebody"), PruneState.FAILED, "It ended with ValueError."),
        (KeyboardInterrupt(), PruneState.STOPPED, "It was asked to end."),
        (SystemExit(143), PruneState.STOPPED, "It was asked to end."),
    ],
)
def test_every_way_to_end_is_told(
    client: Redis, history: PruneHistory, error: BaseException, state: PruneState, sentence: str
) -> None:
    with suppress(type(error)), history.recorded("files", 90) as record:
        record.on_progress(7)
        raise error
    [found] = read_history(client)
    assert (found.written_state, found.sentence, found.rows) == (state, sentence, 7)


def test_what_was_skipped_says_why(client: Redis, history: PruneHistory) -> None:
    with history.recorded("files", 1) as record:
        record.end(summary(skipped="Skipped: too young"))
    [found] = read_history(client)
    assert (found.written_state, found.sentence) == (PruneState.SKIPPED, "Skipped: too young")


def test_a_prune_that_was_asked_to_stop_says_so(client: Redis, history: PruneHistory) -> None:
    with history.recorded("runs", 360) as record:
        record.end(summary(deleted={"runs": 3}, stopped=True))
    [found] = read_history(client)
    assert (found.written_state, found.rows, found.sentence) == (
        PruneState.STOPPED,
        3,
        "It was asked to end.",
    )


def test_a_killed_prune_leaves_a_record_without_an_end_that_shows_how_far_it_was(
    client: Redis, history: PruneHistory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prune_history, "SIGN_OF_LIFE_SECONDS", 0.0)
    with history.recorded("runs", 360) as record:
        record.on_progress(1)
        record.on_progress(500)
        [left] = read_history(client)
        record.end(summary())
    assert (left.rows, left.ended) == (500, None)
    assert left.state(left.seen + timedelta(hours=1)) is PruneState.LOST


def test_a_thousand_are_kept_newest_first(
    client: Redis, history: PruneHistory, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert prune_history.KEPT_RECORDS == 1000
    monkeypatch.setattr(prune_history, "KEPT_RECORDS", 3)
    for days in range(5):
        with history.recorded("runs", days) as record:
            record.end(summary())
    assert [found.older_than_days for found in read_history(client)] == [4, 3, 2]
    assert client.hlen(PRUNE_RECORDS_KEY) == client.llen(PRUNE_ORDER_KEY) == 3


def _no_broker() -> Redis:
    raise SettingsError("CELERY_BROKER_URL is not set.")


def test_without_a_broker_it_warns_once_and_the_prunes_run() -> None:
    port, warnings, runs = dead_port(), [], 0
    dead = build_client(f"redis://:hunter2@127.0.0.1:{port}/0")
    for connect in (lambda: dead, _no_broker):
        history = PruneHistory(connect, warnings.append, *STARTER)
        for _ in range(2):
            with history.recorded("runs", 360) as record:
                record.on_progress(1)
                record.end(summary())
                runs += 1
    dead.close()
    assert runs == 4
    assert [warning.partition(":")[0] for warning in warnings] == ["No record of this prune is kept"] * 2
    assert "CELERY_BROKER_URL is not set." in warnings[1]
    assert "hunter2" not in str(warnings)


def test_a_broker_lost_in_the_middle_is_told_at_the_end(client: Redis, broker_url: str) -> None:
    warnings: list[str] = []
    clients = [client]
    history = PruneHistory(lambda: clients[-1], warnings.append, *STARTER)
    with history.recorded("runs", 360) as record:
        clients.append(build_client(f"redis://127.0.0.1:{dead_port()}/0"))
        record.end(summary())
    clients[-1].close()
    assert [warning.partition(":")[0] for warning in warnings] == ["The end of this prune is not on record"]
    assert [found.written_state for found in read_history(client)] == [PruneState.RUNNING]
    assert broker_url


def test_the_tasks_keep_their_record(settings: Settings, session: Session, client: Redis) -> None:
    old = utc_now() - timedelta(days=200)
    make_artifact(session, make_result(session, make_run(session), start_time=old))
    session.commit()
    app = build_database_app(WORKER_NAME, settings)
    results = app.tasks[RULES_BY_NAME["results"].task]
    done, refused = results.apply(kwargs={"months": 5}), results.apply(kwargs={"months": 1})
    skipped, pruned = read_history(client)
    assert (pruned.rows, pruned.deleted, pruned.task_id) == (2, {"results": 1, "artifacts": 1}, done.id)
    assert (skipped.written_state, skipped.task_id) == (PruneState.SKIPPED, refused.id)
    assert skipped.sentence == "Skipped: months parameter (1) must be >= 4"
    assert pruned.by == "task"


WILD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)
SOUND = PruneRecord("1", "runs", 360, datetime(2026, 1, 1), datetime(2026, 1, 2), "task", "w1")  # noqa: DTZ001


@given(st.sampled_from(sorted(SOUND.as_json())), WILD)
def test_whatever_is_in_a_record_reading_it_raises_nothing(key: str, value: Any) -> None:
    found = parse_record(json.dumps(SOUND.as_json() | {key: value}))
    assert found is None or parse_record(json.dumps(found.as_json())) is not None


def test_what_is_written_is_what_is_read() -> None:
    assert parse_record(json.dumps(SOUND.as_json())) == SOUND
    assert parse_record(b"\xff") is None
    assert parse_record(json.dumps(SOUND.as_json() | {"archives": True})) == SOUND


def test_rows_left_are_told(client: Redis, history: PruneHistory) -> None:
    with history.recorded("results", 150) as recording:
        recording.end(summary(left=3, unarchived=2))
    [record] = read_history(client)
    assert (record.written_state, record.left) == (PruneState.DONE, 5)
    assert record.sentence == "Due rows left, in use or for want of an archive: 5."
