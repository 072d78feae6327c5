"""What PostgreSQL cannot hold never reaches it, and all else does unchanged."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ibutsu_tasks.text.storable import json_bytes, storable_json, storable_text, text_bytes

WILD_TEXT = st.text(st.characters(codec=None))


@pytest.mark.parametrize(
    ("wild", "storable"),
    [
        ("a\0b", "a\ufffdb"),
        ("\ud83d", "\ufffd"),
        ("\udc80x", "\ufffdx"),
        ("gr\u00fc\u00df \U0001f600", "gr\u00fc\u00df \U0001f600"),
    ],
)
def test_characters_without_a_place_are_replaced(wild: str, storable: str) -> None:
    assert storable_text(wild) == storable
    assert text_bytes(wild) == storable.encode()


@pytest.mark.parametrize(
    ("value", "document"),
    [
        ({"a": [1, "ü"]}, '{"a":[1,"ü"]}'),
        ([math.nan, math.inf, -math.inf, 1.5], "[null,null,null,1.5]"),
        ({"k\0": "v\0"}, '{"k\ufffd":"v\ufffd"}'),
        ("\\u0000", '"\\\\u0000"'),
        ({"deep": [{"\ud800": "\udfff"}]}, '{"deep":[{"\ufffd":"\ufffd"}]}'),
        (None, "null"),
    ],
)
def test_json_is_compact_and_storable(value: object, document: str) -> None:
    assert json_bytes(value).decode() == document


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | WILD_TEXT,
        lambda inner: st.lists(inner) | st.dictionaries(WILD_TEXT, inner),
    )
)
def test_json_says_what_its_storable_copy_says(value: object) -> None:
    assert json.loads(json_bytes(value)) == storable_json(value)
