"""Documents with any JSON in any place, and archives damaged at random."""

from __future__ import annotations

import contextlib
import gzip
import json
import re
from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st

from ibutsu_tasks.errors import InvalidImportError

if TYPE_CHECKING:
    from collections.abc import Callable

RUN = "aaaaaaaa-0000-4000-8000-000000000001"
ONE = "bbbbbbbb-0000-4000-8000-000000000001"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
FIELDS = (
    "id", "metadata", "start_time", "duration", "summary", "source", "env", "component", "test_id", "result",
    "params", "error",
)  # fmt: skip
METADATA = st.dictionaries(
    st.sampled_from(["user_properties", "env", "component", "project", "run", "x"]), JSON
)
ROWS = st.dictionaries(st.sampled_from(FIELDS), JSON | METADATA) | JSON


@settings(deadline=None, max_examples=200)
@given(run=ROWS, result=ROWS, metadata=METADATA)
def test_no_json_is_fatal(
    read: Callable[..., Any], tar: Callable[..., bytes], run: object, result: object, metadata: dict[str, Any]
) -> None:
    if isinstance(result, dict):
        result = {"metadata": metadata, **result}
    archive = tar(
        (f"{RUN}/run.json", json.dumps(run).encode()),
        (f"{RUN}/{ONE}/result.json", json.dumps(result).encode()),
        (f"{RUN}/{ONE}/a.log", b"a"),
    )
    try:
        got = read(archive, "archive")
    except InvalidImportError:
        # Nothing usable is the one reason to refuse.
        for row in (run, result):
            assert not isinstance(row, dict) or row.get("error") == "serialization_failed"
        return
    rows = [got.run.data, *(row.data for row in got.results), *(row.params for row in got.results)]
    told = json.dumps(rows, allow_nan=False, ensure_ascii=False)
    assert not re.search(r"[\ud800-\udfff]|\\u0000", told)
    for row in got.results:
        assert all(isinstance(text, str | None) for text in (row.source, row.env, row.component))
        assert isinstance(row.test_id, str)
        assert row.duration_seconds >= 0


@settings(deadline=None, max_examples=300)
@given(data=st.data())
def test_damaged_archives_are_refused_or_read(
    read: Callable[..., Any], tar: Callable[..., bytes], data: st.DataObject
) -> None:
    whole = tar(
        (RUN, None),
        (f"{RUN}/run.json", {}),
        (f"{RUN}/{ONE}/result.json", {}),
        (f"{RUN}/{ONE}/é.log", b"a" * 600),
    )
    inside = data.draw(st.booleans())
    damaged = bytearray(gzip.decompress(whole) if inside else whole)
    for position, value in data.draw(
        st.lists(st.tuples(st.integers(0, len(damaged) - 1), st.integers(0, 255)))
    ):
        damaged[position] = value
    cut = damaged[: data.draw(st.integers(0, len(damaged)))] if data.draw(st.booleans()) else damaged
    with contextlib.suppress(InvalidImportError):
        read(gzip.compress(cut) if inside else bytes(cut), "archive")
