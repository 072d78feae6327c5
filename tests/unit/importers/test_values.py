from __future__ import annotations

import math
from datetime import datetime
from uuid import UUID, uuid5

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ibutsu_tasks.ibutsu.importers.values import (
    INDEXED_BYTES,
    column_text,
    count,
    derived_id,
    indexed,
    seconds,
    utc_time,
    uuid_or_none,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.5", 0.5),
        ("1,024.12", 1024.12),
        ("1.024,12", 1024.12),
        ("1,234,567", 1234567.0),
        ("1 234,5", 1234.5),
        ("1\u202f234\u202f567,5", 1234567.5),
        ("1\xa0234", 1234.0),
        ("1'234.5", 1234.5),
        ("1\u2019234.5 ms", 1.2345),
        ("1m 234ms", 60.234),
        ("0,160", 0.16),
        ("1,024", 1.024),
        ("80.803us", 80.803e-6),
        ("80.803µs", 80.803e-6),
        ("12ms", 0.012),
        ("1.5s", 1.5),
        ("1m30s", 90.0),
        ("2 min", 120.0),
        ("0:00:00.69", 0.69),
        ("01:02:03", 3723.0),
        ("02:03,5", 123.5),
        ("1.2E-4", 0.00012),
        (" 3 ", 3.0),
        (7, 7.0),
    ],
)
def test_durations_of_the_wild(text: object, expected: float) -> None:
    assert seconds(text) == pytest.approx(expected)


@pytest.mark.parametrize(
    "text",
    ["", "-1", "NaN", "inf", "soon", "1.2.3.4s5x", "1 2", "1 2345", "1'2", ":", ",", None, True, [], {}],
)
def test_no_durations(text: object) -> None:
    assert seconds(text) is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2026-11-21T06:09:29.950940+00:00", datetime.fromisoformat("2026-11-21T06:09:29.950940")),
        ("2026-11-21T06:09:29.95094", datetime.fromisoformat("2026-11-21T06:09:29.950940")),
        ("2026-11-21T06:09:29.123456789Z", datetime.fromisoformat("2026-11-21T06:09:29.123456")),
        ("2026-11-21T07:09:29+01:00", datetime.fromisoformat("2026-11-21T06:09:29")),
        ("2026-11-21 06:09:29 UTC", datetime.fromisoformat("2026-11-21T06:09:29")),
        ("20261121060929", datetime.fromisoformat("2026-11-21T06:09:29")),
        ("20261121", datetime.fromisoformat("2026-11-21T00:00:00")),
        (1795241369, datetime.fromisoformat("2026-11-21T06:09:29")),
        (1795241369000, datetime.fromisoformat("2026-11-21T06:09:29")),
        ("1795241369.5", datetime.fromisoformat("2026-11-21T06:09:29.500000")),
    ],
)
def test_times_are_naive_utc(value: object, expected: datetime) -> None:
    assert utc_time(value) == expected


@pytest.mark.parametrize(
    "value", ["", "yesterday", "0001-01-01T00:00:00+14:00", 1e300, math.nan, True, None, []]
)
def test_no_times(value: object) -> None:
    assert utc_time(value) is None


@settings(deadline=None)
@given(JSON)
def test_no_value_is_fatal(value: object) -> None:
    for reader in (seconds, count, utc_time, column_text, uuid_or_none):
        reader(value)


def test_counts() -> None:
    assert [count(text) for text in ("3", "1,024", "2.0", "x", -1)] == [3, 1024, 2, None, None]


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=250, max_size=3000))
def test_indexed_text_fits_the_index_and_stays_apart(text: str) -> None:
    cut = indexed(text)
    assert len(cut.encode()) <= INDEXED_BYTES
    assert (cut == text) == (len(text.encode()) <= INDEXED_BYTES)
    assert cut == text or indexed(text + "x") != cut


@given(st.uuids(), st.text(st.characters(codec="utf-8")))
def test_derived_ids_are_those_of_the_standard(namespace: UUID, name: str) -> None:
    assert derived_id(namespace, name) == uuid5(namespace, name)
