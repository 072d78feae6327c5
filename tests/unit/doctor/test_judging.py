"""What the checks make of states that no server here can be brought into."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ibutsu_tasks.beat.state import Beat, BeatState, Runs, read_leader
from ibutsu_tasks.doctor.checks import beat, broker, database, workers
from ibutsu_tasks.ibutsu.schedule import SCHEDULE

if TYPE_CHECKING:
    from ibutsu_tasks.doctor.report import Finding

SOUND = {
    "redis_version": "7.2.4",
    "role": "master",
    "cluster_enabled": 0,
    "maxmemory": 0,
    "used_memory": 1_000_000,
    "maxmemory_policy": "noeviction",
}


@pytest.mark.parametrize(
    ("changed", "codes"),
    [
        ({}, ["IBT-B00"]),
        ({"redis_version": "6.0.16"}, ["IBT-B22"]),
        ({"redis_version": "6.2.0"}, ["IBT-B00"]),
        ({"redis_version": "10.0"}, ["IBT-B00"]),
        ({"redis_version": "custom"}, ["IBT-B00"]),
        ({"maxmemory": 1_200_000}, ["IBT-B24"]),
        ({"maxmemory": 1_300_000}, ["IBT-B00"]),
        ({"role": "slave", "maxmemory_policy": "volatile-lru"}, ["IBT-B20", "IBT-B23"]),
    ],
)
def test_a_broker_is_judged_by_what_it_says(changed: dict[str, Any], codes: list[str]) -> None:
    assert [item.code for item in broker.judge(SOUND | changed, "h:6379/0", "CELERY_BROKER_URL")] == codes


@pytest.mark.parametrize(
    ("version", "standby", "read_only", "codes"),
    [
        (15, False, False, []),
        (14, False, False, ["IBT-D29"]),
        (16, True, True, ["IBT-D26"]),
        (13, False, True, ["IBT-D27", "IBT-D29"]),
    ],
)
def test_a_database_server_is_judged(version: int, standby: bool, read_only: bool, codes: list[str]) -> None:
    found = database.judge_server("n at h", "n", version=version, standby=standby, read_only=read_only)
    assert [item.code for item in found] == codes


def test_every_starving_queue_is_named() -> None:
    waiting = {"celery": 3, "bulk": 1, "old": 0, "night": 0}
    found = workers.judge({"celery@a": frozenset({"celery"})}, waiting, ["celery", "night"])
    assert [(item.code, item.seen.split()[0]) for item in found] == [("IBT-W02", "1"), ("IBT-W03", "No")]


def test_a_large_fleet_stays_readable() -> None:
    consumed = {f"celery@{number}": frozenset({"celery"}) for number in range(40)}
    [found] = workers.judge(consumed, {"celery": 0}, ["celery"])
    assert found.code == "IBT-W00"
    assert "and 35 more" in found.seen


NOW = datetime(2026, 3, 4, 5, 6, tzinfo=UTC)
RAN = dict.fromkeys((row.name for row in SCHEDULE), NOW)


def note_of(**changed: Any) -> bytes:
    note = {"host": "h", "pid": 1, "fence": 2, "since": NOW.timestamp() - 600, "time": NOW.timestamp() - 600}
    return json.dumps(note | changed).encode()


def judge_note(note: bytes | str | None, left_ms: int = 9000, **last_runs: datetime) -> Finding:
    runs = Runs(NOW, last=RAN | {name.replace("_", "-"): moment for name, moment in last_runs.items()})
    return beat.judge(BeatState(runs, read_leader(note, left_ms), (Beat("other", 3),)))


@given(st.none() | st.binary() | st.text())
@example(b"[" * 200_000)
@example(note_of(since=float("nan")))
@example(note_of(time=float("inf")))
def test_any_note_of_beat_gives_a_finding(note: bytes | str | None) -> None:
    assert judge_note(note).code in {"IBT-T00", "IBT-T01", "IBT-T02"}


@given(st.recursive(st.none() | st.floats() | st.text(), lambda inner: st.lists(inner, max_size=3)))
def test_odd_values_in_a_note_of_beat(value: Any) -> None:
    for name in ("host", "pid", "fence", "since", "time"):
        assert judge_note(note_of(**{name: value})).code in {"IBT-T00", "IBT-T01", "IBT-T02"}


@pytest.mark.parametrize(
    ("note", "left_ms", "last_runs", "code", "words"),
    [
        (
            note_of(),
            8000,
            {},
            "IBT-T00",
            "since 2026-03-04 04:56 UTC, last seen 2 s ago; 1 other standing by",
        ),
        (note_of(), -1, {}, "IBT-T01", "No beat leads"),
        (None, -2, {}, "IBT-T01", "No beat leads"),
        (note_of(time=NOW.timestamp()), 8000, {}, "IBT-T02", "differs from Redis' by 600 s"),
        (
            note_of(),
            8000,
            {"sync_aborted_runs": NOW - timedelta(minutes=31)},
            "IBT-T03",
            "sync-aborted-runs since 2026-03-04 05:00 UTC",
        ),
        (
            note_of(since=NOW.timestamp() - 3),
            8000,
            {"prune_old_runs": NOW - timedelta(days=9)},
            "IBT-T02",
            "",
        ),
        (None, -2, {"prune_old_runs": NOW - timedelta(days=9)}, "IBT-T01", "Overdue: prune-old-runs since"),
    ],
)
def test_beat_is_judged_by_what_redis_knows(
    note: bytes | None, left_ms: int, last_runs: dict[str, datetime], code: str, words: str
) -> None:
    found = judge_note(note, left_ms, **last_runs)
    assert (found.code, words in found.seen) == (code, True), found
