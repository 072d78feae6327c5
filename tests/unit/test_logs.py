"""Log lines: one record is one line, or one object, whatever stands in it."""

from __future__ import annotations

import json
import logging
import sys
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ibutsu_tasks.logs import JsonFormatter, TextFormatter, current_task

FORGED = "a\n2026-01-31T12:00:00.000Z ERROR root forged\x1b[2J\x9b1m\r\u2028\u202e\udcff"
ANY_TEXT = st.text(st.characters(codec=None) | st.sampled_from("\x1b\n\r\x85\u2028\udcff"))


def record_of(message: str, error: Exception | None = None, **extra: object) -> logging.LogRecord:
    info = None
    if error is not None:
        try:
            raise error
        except type(error):
            info = sys.exc_info()
    record = logging.LogRecord("worker", logging.INFO, __file__, 1, message, None, info)
    vars(record).update(extra)
    return record


def same(text: str) -> str:
    return text


@given(ANY_TEXT, ANY_TEXT, ANY_TEXT)
@example(FORGED, FORGED, FORGED)
def test_nothing_in_a_record_ends_its_line_or_moves_the_cursor(message: str, name: str, words: str) -> None:
    token = current_task.set((name, words))
    try:
        text = TextFormatter(same).format(record_of(message))
        failed = TextFormatter(same).format(record_of(message, ValueError(words)))
        document = JsonFormatter(same).format(record_of(message, ValueError(words)))
    finally:
        current_task.reset(token)
    assert "\n" not in text
    for line in failed.split("\n")[1:]:
        assert line.startswith("  ")
    assert not [one for one in text + failed.replace("\n", "") if unicodedata.category(one) in {"Cc", "Cs"}]
    assert document.isascii()
    assert document.isprintable() or "\x7f" in document
    entry = json.loads(document)
    assert (entry["message"], entry["task_name"], entry["task_id"]) == (message, name, words)


@pytest.mark.parametrize("facts", [{"id": "i\x1b", "name": "n"}, {"id": None, "name": 7, "args": "()"}])
def test_what_celery_says_of_a_task_names_it(facts: dict[str, object]) -> None:
    record = record_of("received", data=facts)
    entry = json.loads(JsonFormatter(same).format(record))
    assert (entry["task_name"], entry["task_id"]) == (str(facts["name"]), str(facts["id"]))
    assert "\x1b" not in TextFormatter(same).format(record)
    assert "task_id" not in json.loads(JsonFormatter(same).format(record_of("other", data={"id": 1})))
