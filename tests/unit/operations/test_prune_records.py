"""Records of prunes as Redis may hold them: ours come back equal, others are left out and stop nobody."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ibutsu_tasks.cli.output import Output
from ibutsu_tasks.cli.output.result import Result
from ibutsu_tasks.cli.prune.history import _blocks
from ibutsu_tasks.doctor.checks.prunes import judge
from ibutsu_tasks.retention.history import PruneRecord, PruneState, parse_record

NOW = datetime(2026, 1, 2, 3, 4)  # noqa: DTZ001 - naive UTC
RECORD = PruneRecord(
    *("a1", "runs", 360, NOW, NOW, "task", "worker@host", "b2", PruneState.DONE, NOW, NOW),
    *(3, {"runs": 1, "results": 2}, 4096, 0, 1.5, "Well."),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just("2026-01-02T03:04:05Z"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


def use(record: PruneRecord) -> None:
    """Do with a record all that `prune --history` and the doctor do."""
    ends = [(record, record.state(NOW))]
    Output().render(Result(blocks=list(_blocks(ends, NOW))))
    json.dumps(record.as_json())
    judge([record], {"runs"}, NOW)


def test_a_record_comes_back_equal() -> None:
    assert parse_record(json.dumps(RECORD.as_json())) == RECORD
    use(RECORD)


@given(st.dictionaries(st.sampled_from(sorted(RECORD.as_json())), JSON, min_size=1))
def test_values_of_another_type_stop_nobody(changed: dict[str, Any]) -> None:
    record = parse_record(json.dumps(RECORD.as_json() | changed))
    if record is not None:
        use(record)


@given(JSON)
def test_whatever_is_there_stops_nobody(document: Any) -> None:
    assert parse_record(json.dumps(document)) is None


@given(st.binary())
def test_what_is_no_json_stops_nobody(document: bytes) -> None:
    assert parse_record(document) is None
