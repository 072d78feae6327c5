from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ibutsu_tasks.settings.named_secrets import mask_in_text, mask_named

SECRET = "hunter2-hunter2"


@pytest.mark.parametrize(
    "value",
    [
        {"password": SECRET},
        {"DB_PASSWD": [SECRET]},
        {"apiKey": SECRET},
        {"api-key": {"a": SECRET}},
        {"a": [{"access_token": SECRET}]},
        {"client_secret": SECRET, "b": 1},
        {"a": f"postgresql://me:{SECRET}@host/db"},
        {"a": f"password={SECRET}"},
    ],
)
def test_what_is_named_like_a_secret_is_masked_in_values_and_in_texts(value: Any) -> None:
    assert SECRET not in json.dumps(mask_named(value))
    if "DB_PASSWD" not in value and "api-key" not in value:
        assert SECRET not in mask_in_text(json.dumps(value))
        assert SECRET not in mask_in_text(repr(value))


def test_everything_else_stays() -> None:
    value = {
        "id": "1",
        "metadata": {"env": "ci", "count": 3, "none": None},
        "password": None,
        "list": [1, "a"],
    }
    assert mask_named(value) == value
    assert mask_in_text("it is not JSON: Expecting value") == "it is not JSON: Expecting value"


@given(st.text())
def test_any_text_is_read_at_once(text: str) -> None:
    mask_in_text(text * 20)
